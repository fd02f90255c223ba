"""Operators' commands in processes of their own, and what is left of people and circuits when they are killed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from tests.integration.jobs.records import Records
from tests.killing.world import Processes, Ran, Step, World

OWNER = "interdomestik"
HANDLER = "operations.app.handler"

_ACCOUNT = "SELECT id FROM accounts WHERE email = %s OR id = %s"
# What is left of somebody, without what only their own records have.
_LEFT = {
    "account": f"""SELECT role, identity_sub IS NOT NULL AS linked, email LIKE 'freed.%%' AS freed
                   FROM accounts WHERE id IN ({_ACCOUNT})""",
    "agent": f"SELECT state, version FROM agents WHERE id IN ({_ACCOUNT})",
    "membership": f"SELECT state, version FROM subscriptions WHERE member_id IN ({_ACCOUNT})",
    "reminders": f"""SELECT r.kind FROM membership_reminders r JOIN subscriptions s ON s.id = r.subscription_id
                     WHERE s.member_id IN ({_ACCOUNT})""",
    "commissions": f"SELECT state FROM commissions WHERE member_id IN ({_ACCOUNT})",
    "jobs": f"SELECT kind, state, last_error FROM outbox WHERE subject_id IN ({_ACCOUNT}) ORDER BY kind",
    "audit": f"SELECT action, actor FROM audit WHERE subject_id IN ({_ACCOUNT}) ORDER BY id",
}


@dataclass(frozen=True)
class Prepared:
    """A command on a scene of its own, and a look at what is left of that."""

    event: Mapping[str, Any]
    look: Callable[[], Any]


@dataclass(frozen=True)
class Operators:
    """The operators' function of a world, and the people whom its commands are about."""

    world: World
    processes: Processes

    @classmethod
    def of(cls, world: World) -> "Operators":
        """Run the commands as the template does, by the schema's owner; the pool has the groups of staff too."""
        cognito, pool = world.client("cognito-idp"), world.environment["USER_POOL_ID"]
        for group in ("staff", "admin"):
            cognito.create_group(UserPoolId=pool, GroupName=group)
        return cls(world, world.processes(DB_USER=OWNER))

    def run(self, event: Mapping[str, Any], kill: Step | None = None) -> Ran:
        """Run a command, to its end or to a step."""
        return self.processes.run(HANDLER, event, kill=kill)

    def create_staff(self) -> Prepared:
        """Somebody new."""
        return self._create(f"{uuid4().hex}@example.test")

    def create_staff_again(self) -> Prepared:
        """Somebody who worked here before."""
        removed = self.remove_staff()
        self.run(removed.event)
        return self._create(removed.event["email"])

    def remove_staff(self) -> Prepared:
        """Somebody who works here."""
        made = self._create(f"{uuid4().hex}@example.test")
        assert self.run(made.event).error is None
        return Prepared({"command": "remove-staff", "email": made.event["email"]}, made.look)

    def free_member(self) -> Prepared:
        """A member's address that nobody has proven, with a sign-in, a mail that waits and what an agent earned."""
        records, email = Records(self.world.blank), f"{uuid4().hex}@example.test"
        commission = records.commission()
        [row] = self.world.blank.rows("SELECT member_id AS id FROM commissions WHERE id = %s", commission)
        self.world.blank.rows("UPDATE accounts SET proven_at = NULL, email = %s WHERE id = %s", email, row["id"])
        return self._free(email, row["id"])

    def free_agent(self) -> Prepared:
        """An applicant's address that nobody has proven."""
        records, email = Records(self.world.blank), f"{uuid4().hex}@example.test"
        agent = records.agent()
        self.world.blank.rows("UPDATE accounts SET email = %s WHERE id = %s", email, agent)
        return self._free(email, agent)

    def force_circuit(self) -> Prepared:
        """A circuit that is left to itself."""
        event = {"command": "force-circuit", "name": "email"}
        assert self.run({**event, "state": "auto"}).error is None
        return Prepared({**event, "state": "open"}, self._circuit)

    def _create(self, email: str) -> Prepared:
        event = {"command": "create-staff", "email": email, "full_name": "Ana", "role": "staff", "language": "mk"}
        return Prepared(event, lambda: self._person(email, None))

    def _free(self, email: str, account: UUID) -> Prepared:
        cognito, pool = self.world.client("cognito-idp"), self.world.environment["USER_POOL_ID"]
        attributes = [{"Name": "email", "Value": email}]
        made = cognito.admin_create_user(UserPoolId=pool, Username=email, UserAttributes=attributes)["User"]
        sub = next(item["Value"] for item in made["Attributes"] if item["Name"] == "sub")
        self.world.blank.rows("UPDATE accounts SET identity_sub = %s WHERE id = %s", sub, account)
        Records(self.world.blank).mail("member-welcome", account, to=account)
        return Prepared({"command": "free-address", "email": email}, lambda: self._person(email, account))

    def _person(self, email: str, account: UUID | None) -> dict[str, Any]:
        left = {name: self.world.blank.rows(query, email, account) for name, query in _LEFT.items()}
        return {**left, "identities": self._identities(email)}

    def _identities(self, email: str) -> list[Any]:
        cognito, pool = self.world.client("cognito-idp"), self.world.environment["USER_POOL_ID"]
        found = cognito.list_users(UserPoolId=pool, Filter=f'email = "{email}"')["Users"]
        groups = [cognito.admin_list_groups_for_user(UserPoolId=pool, Username=one["Username"]) for one in found]
        return [
            (one["Enabled"], one["UserStatus"], [group["GroupName"] for group in theirs["Groups"]])
            for one, theirs in zip(found, groups, strict=True)
        ]

    def _circuit(self) -> tuple[str, bool]:
        circuit = self.run({"command": "circuits"}).answer["circuits"]["email"]
        return circuit["state"], circuit["forced"]


COMMANDS: Mapping[str, Callable[[Operators], Prepared]] = {
    "create-staff": Operators.create_staff,
    "create-staff, again": Operators.create_staff_again,
    "remove-staff": Operators.remove_staff,
    "free-address of a member": Operators.free_member,
    "free-address of an applicant": Operators.free_agent,
    "force-circuit": Operators.force_circuit,
}
