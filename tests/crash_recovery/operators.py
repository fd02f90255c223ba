"""Operators' commands in processes of their own, and checks of accounts and circuits after kills."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from shared.admission.ports import Admitted, KeyUse, StoredAnswer
from shared.aws.dynamodb_admission import DynamoDbAdmissionStore
from shared.aws.dynamodb_admission_items import make_record_key
from shared.clock import read_utc_now
from tests.crash_recovery.environment import CrashPoint, CrashTestEnvironment, ProcessResult, ProcessRunner
from tests.integration.jobs.records import RecordFixtures

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
class PreparedCommand:
    """A command on sample records of its own, and a query of what it leaves."""

    event: Mapping[str, Any]
    read_state: Callable[[], Any]


@dataclass(frozen=True)
class OperatorProcesses:
    """The operators' function of a test environment, and the people whom its commands are about."""

    environment: CrashTestEnvironment
    processes: ProcessRunner

    @classmethod
    def make_in(cls, environment: CrashTestEnvironment) -> "OperatorProcesses":
        """Run the commands as the template does, by the schema's owner; the pool has the groups of staff too."""
        cognito, pool = environment.make_client("cognito-idp"), environment.environment["USER_POOL_ID"]
        for group in ("staff", "admin"):
            cognito.create_group(UserPoolId=pool, GroupName=group)
        return cls(environment, environment.start_processes(DB_USER=OWNER))

    def run(self, event: Mapping[str, Any], kill: CrashPoint | None = None) -> ProcessResult:
        """Run a command, to its end or to a crash point."""
        return self.processes.run(HANDLER, event, kill=kill)

    def prepare_create_staff(self) -> PreparedCommand:
        """Somebody new."""
        return self._prepare_create(f"{uuid4().hex}@example.test")

    def prepare_create_staff_again(self) -> PreparedCommand:
        """Somebody who worked here before."""
        removed = self.prepare_remove_staff()
        self.run(removed.event)
        return self._prepare_create(removed.event["email"])

    def prepare_remove_staff(self) -> PreparedCommand:
        """Somebody who works here."""
        made = self._prepare_create(f"{uuid4().hex}@example.test")
        assert self.run(made.event).error is None
        return PreparedCommand({"command": "remove-staff", "email": made.event["email"]}, made.read_state)

    def prepare_free_member(self) -> PreparedCommand:
        """Add an unproven member with a sign-in, a waiting mail and what an agent earned; return the address."""
        records, email = RecordFixtures(self.environment.fresh_database), f"{uuid4().hex}@example.test"
        commission = records.add_commission()
        [row] = self.environment.fresh_database.query_rows(
            "SELECT member_id AS id FROM commissions WHERE id = %s", commission
        )
        self.environment.fresh_database.query_rows(
            "UPDATE accounts SET proven_at = NULL, email = %s WHERE id = %s", email, row["id"]
        )
        return self._prepare_free(email, row["id"])

    def prepare_free_agent(self) -> PreparedCommand:
        """Add an applicant whose address nobody has proven; return the address."""
        records, email = RecordFixtures(self.environment.fresh_database), f"{uuid4().hex}@example.test"
        agent = records.add_agent()
        self.environment.fresh_database.query_rows("UPDATE accounts SET email = %s WHERE id = %s", email, agent)
        return self._prepare_free(email, agent)

    def prepare_force_circuit(self) -> PreparedCommand:
        """Return a circuit that is left to itself."""
        event = {"command": "force-circuit", "name": "email"}
        assert self.run({**event, "state": "auto"}).error is None
        return PreparedCommand({**event, "state": "open"}, self._read_circuit)

    def prepare_release_of_jobs(self) -> PreparedCommand:
        """Return a circuit that is held open, and a mail that waits for it."""
        records, database = RecordFixtures(self.environment.fresh_database), self.environment.fresh_database
        member, event = records.add_member(), {"command": "force-circuit", "name": "email"}
        assert self.run({**event, "state": "open"}).error is None
        job = records.add_mail(
            "member-welcome", member, to=member, last_error="circuit-open", available_at="2099-01-01"
        )
        query = "SELECT state, last_error, available_at <= now() AS due FROM outbox WHERE id = %s"
        return PreparedCommand(
            {**event, "state": "closed"}, lambda: (self._read_circuit(), database.query_rows(query, job))
        )

    def prepare_reconcile_restore(self) -> PreparedCommand:
        """A lost write, whose key is answered, and a mail that waited at the moment of the restore."""
        database, subject, key = self.environment.fresh_database, uuid4(), KeyUse("scope", uuid4().hex, "asked")
        table, client = self.environment.environment["STATE_TABLE"], self.environment.make_client("dynamodb")
        store = DynamoDbAdmissionStore(client, table, observer=lambda _event, _facts: None)
        decision = store.admit(charge=None, use=key, lease_s=30)
        assert isinstance(decision, Admitted)
        assert decision.token
        store.complete(key, decision.token, StoredAnswer(201, {}, json.dumps({"id": str(subject)})))
        records = RecordFixtures(database)
        member = records.add_member()
        records.add_mail("member-welcome", member, to=member)
        database.query_rows("UPDATE outbox SET created_at = now() - interval '4 days' WHERE subject_id = %s", member)

        def read_state() -> Any:
            found = client.get_item(TableName=table, Key={"pk": {"S": make_record_key(key)}})
            jobs = "SELECT id, state, last_error FROM outbox WHERE subject_id = %s"
            [job] = database.query_rows(jobs, member)
            entries = "SELECT action, actor FROM audit WHERE subject_id IN (%s, %s) ORDER BY action"
            audit = database.query_rows(entries, subject, job.pop("id"))
            return {"key": "Item" in found, "job": job, "audit": audit}

        moment = (read_utc_now() - timedelta(days=3)).isoformat()
        return PreparedCommand({"command": "reconcile-restore", "restored_to": moment, "apply": True}, read_state)

    def _prepare_create(self, email: str) -> PreparedCommand:
        event = {"command": "create-staff", "email": email, "full_name": "Ana", "role": "staff", "language": "mk"}
        return PreparedCommand(event, lambda: self._read_account(email, None))

    def _prepare_free(self, email: str, account: UUID) -> PreparedCommand:
        cognito, pool = self.environment.make_client("cognito-idp"), self.environment.environment["USER_POOL_ID"]
        attributes = [{"Name": "email", "Value": email}]
        made = cognito.admin_create_user(UserPoolId=pool, Username=email, UserAttributes=attributes)["User"]
        sub = next(item["Value"] for item in made["Attributes"] if item["Name"] == "sub")
        self.environment.fresh_database.query_rows("UPDATE accounts SET identity_sub = %s WHERE id = %s", sub, account)
        RecordFixtures(self.environment.fresh_database).add_mail("member-welcome", account, to=account)
        return PreparedCommand({"command": "free-address", "email": email}, lambda: self._read_account(email, account))

    def _read_account(self, email: str, account: UUID | None) -> dict[str, Any]:
        left = {
            name: self.environment.fresh_database.query_rows(query, email, account) for name, query in _LEFT.items()
        }
        return {**left, "identities": self._list_identities(email)}

    def _list_identities(self, email: str) -> list[Any]:
        cognito, pool = self.environment.make_client("cognito-idp"), self.environment.environment["USER_POOL_ID"]
        found = cognito.list_users(UserPoolId=pool, Filter=f'email = "{email}"')["Users"]
        groups = [cognito.admin_list_groups_for_user(UserPoolId=pool, Username=one["Username"]) for one in found]
        return [
            (one["Enabled"], one["UserStatus"], [group["GroupName"] for group in theirs["Groups"]])
            for one, theirs in zip(found, groups, strict=True)
        ]

    def _read_circuit(self) -> tuple[str, bool]:
        circuit = self.run({"command": "circuits"}).answer["circuits"]["email"]
        return circuit["state"], circuit["forced"]


COMMANDS: Mapping[str, Callable[[OperatorProcesses], PreparedCommand]] = {
    "create-staff": OperatorProcesses.prepare_create_staff,
    "create-staff, again": OperatorProcesses.prepare_create_staff_again,
    "remove-staff": OperatorProcesses.prepare_remove_staff,
    "free-address of a member": OperatorProcesses.prepare_free_member,
    "free-address of an applicant": OperatorProcesses.prepare_free_agent,
    "force-circuit": OperatorProcesses.prepare_force_circuit,
    "force-circuit that releases jobs": OperatorProcesses.prepare_release_of_jobs,
    "reconcile-restore": OperatorProcesses.prepare_reconcile_restore,
}
