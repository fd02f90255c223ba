"""The users that scenarios need: members, agents and staff who are signed in."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from stress.call_factory import CallFactory
from stress.ledger import CallSample, PlannedCall
from stress.load_generator import LoadGenerator, run_limited
from stress.local_target import LocalCloud

AT_ONCE = 8
SIGN_IN_S = 30.0  # the longest wait from one identity to the next
POLL_S = 0.2
STAFF = {"staff": "Local Staff", "admin": "Local Admin"}
# The accounts that are linked and in their group, which is the last step: a token issued earlier would name no group.
LINKED = (
    "SELECT count(*) AS n FROM accounts a WHERE a.email = ANY(%(emails)s) AND a.identity_sub IS NOT NULL AND NOT EXISTS"
    " (SELECT FROM outbox o WHERE o.kind = 'identity' AND o.subject_id = a.id AND o.state <> 'done')"
)


class FixtureError(Exception):
    """The users of a run could not be created; the message says who and why."""


@dataclass(frozen=True)
class SignedInUser:
    """A signed-in user. `record` is the answer to their registration."""

    id: str
    email: str
    token: str
    address: str
    record: dict[str, Any]


class UserFixtures:
    """The users that are created in a cloud; it hands out each member once."""

    def __init__(self, target: LocalCloud, generator: LoadGenerator, call_factory: CallFactory) -> None:
        self._target = target
        self._generator = generator
        self._call_factory = call_factory
        self._members: list[SignedInUser] = []
        self.staff = ""
        self.admin = ""
        self._staff_made = 0

    async def prepare(self, members: int) -> None:
        """Sign in staff, an admin and a number of members. Raise FixtureError."""
        self.staff, self.admin = await self.make_staff_token(), await self.make_staff_token("admin")
        calls = [self._call_factory.make_registration() for _ in range(members)]
        self._members += await self.register_members(calls)

    async def register_members(self, calls: Sequence[PlannedCall]) -> list[SignedInUser]:
        """Make these registrations, and sign the members in. Raise FixtureError."""
        return await self.sign_in_users(await self._insist(calls))

    async def _insist(self, calls: Sequence[PlannedCall]) -> list[CallSample]:
        samples = await run_limited([partial(self._generator.insist, call) for call in calls], AT_ONCE)
        for sample in samples:
            if not sample.is_accepted:
                raise FixtureError(f"{sample.call.operation}: {sample.answer}")
        return samples

    async def sign_in_users(self, samples: Sequence[CallSample]) -> list[SignedInUser]:
        """Sign in the users that calls have created, once their identities are there. Raise FixtureError."""
        await self._wait_until_linked([str(sample.call.body["email"]) for sample in samples if sample.call.body])
        return await run_limited([partial(self._make_user, s) for s in samples], AT_ONCE)

    async def make_agents(self, count: int) -> list[SignedInUser]:
        """Create agents: they apply, are approved, and sign in. Raise FixtureError."""
        applied = await self._insist([self._call_factory.make_application() for _ in range(count)])
        await self._insist([self._make_approval(str((sample.record or {})["id"])) for sample in applied])
        return await self.sign_in_users(applied)

    async def make_staff_token(self, role: str = "staff") -> str:
        """Create another staff member, with rate limits of their own; return their token. Raise FixtureError."""
        self._staff_made += 1
        email = f"{role}.{self._staff_made}@example.test"
        command = {"command": "create-staff", "email": email, "full_name": STAFF[role], "role": role, "language": "en"}
        answer = await self._target.invoke("AdminFunction", command)
        if isinstance(answer, dict) and "errorMessage" in answer:
            raise FixtureError(f"create-staff: {answer['errorMessage']}")
        await self._wait_until_linked([email])
        return await asyncio.to_thread(self._target.aws.sign_in, email)

    def __len__(self) -> int:
        """Return how many members are left."""
        return len(self._members)

    def take_members(self, count: int) -> list[SignedInUser]:
        """Return members that no scenario has had. Raise FixtureError if there are too few."""
        if len(self._members) < count:
            raise FixtureError(f"{count} members are needed, {len(self._members)} are left")
        taken, self._members = self._members[:count], self._members[count:]
        return taken

    def _make_approval(self, agent_id: str) -> PlannedCall:
        decision = {"decision": "approve", "reason": "References checked."}
        return self._call_factory.make_write("approve", f"/agents/{agent_id}/decision", decision, token=self.staff,
                                             facts={"subject": agent_id})  # fmt: skip

    async def _make_user(self, sample: CallSample) -> SignedInUser:
        record, email = sample.record or {}, str((sample.call.body or {})["email"])
        token = await asyncio.to_thread(self._target.aws.sign_in, email)
        return SignedInUser(str(record["id"]), email, token, sample.call.client, record)

    async def _wait_until_linked(self, emails: Sequence[str]) -> None:
        """Wait until all have identities, as long as their number still grows. Raise FixtureError."""
        linked, until = -1, 0.0
        while linked < len(set(emails)):
            found = (await self._target.query_rows(LINKED, {"emails": list(emails)}))[0]["n"]
            if found > linked:
                linked, until = found, time.monotonic() + SIGN_IN_S
            elif time.monotonic() > until:
                raise FixtureError(f"no further identity within {SIGN_IN_S:.0f} s: {linked} of {len(emails)} people")
            await asyncio.sleep(POLL_S)
