"""The people that scenarios need to be there already: members, agents and staff who are signed in."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from stress.ledger import Call, Sample
from stress.load import Generator, gently
from stress.people import People
from stress.target import LocalCloud

AT_ONCE = 8
SIGN_IN_S = 30.0  # from one identity to the next
LOOK_S = 0.2
STAFF = {"staff": "Local Staff", "admin": "Local Admin"}
# Linked, and in its group, which comes last: a token that is issued in between names no group.
LINKED = (
    "SELECT count(*) AS n FROM accounts a WHERE a.email = ANY(%(emails)s) AND a.identity_sub IS NOT NULL AND NOT EXISTS"
    " (SELECT FROM outbox o WHERE o.kind = 'identity' AND o.subject_id = a.id AND o.state <> 'done')"
)


class NotPrepared(Exception):
    """The people of a run could not be made; the message says who and why."""


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in. `record` is what their registration was answered with."""

    id: str
    email: str
    token: str
    address: str
    record: dict[str, Any]


class Crowd:
    """Makes people in a cloud, and hands each out once."""

    def __init__(self, target: LocalCloud, generator: Generator, people: People) -> None:
        self._target = target
        self._generator = generator
        self._people = people
        self._members: list[Person] = []
        self.staff = ""
        self.admin = ""
        self._staff_made = 0

    async def prepare(self, members: int) -> None:
        """Sign in staff, an admin and so many members. Raises NotPrepared."""
        self.staff, self.admin = await self.staff_token(), await self.staff_token("admin")
        calls = [self._people.registration() for _ in range(members)]
        self._members += await self.registered(calls)

    async def registered(self, calls: Sequence[Call]) -> list[Person]:
        """Make these registrations, and sign the people in. Raises NotPrepared."""
        return await self.signed_in(await self._insist(calls))

    async def _insist(self, calls: Sequence[Call]) -> list[Sample]:
        samples = await gently([partial(self._generator.insist, call) for call in calls], AT_ONCE)
        for sample in samples:
            if not sample.accepted:
                raise NotPrepared(f"{sample.call.operation}: {sample.answer}")
        return samples

    async def signed_in(self, samples: Sequence[Sample]) -> list[Person]:
        """Sign in the people that calls have made, once their identities are there. Raises NotPrepared."""
        await self._linked([str(sample.call.body["email"]) for sample in samples if sample.call.body])
        return await gently([partial(self._person, s) for s in samples], AT_ONCE)

    async def agents(self, count: int) -> list[Person]:
        """Make agents: they apply, are approved, and sign in. Raises NotPrepared."""
        applied = await self._insist([self._people.application() for _ in range(count)])
        await self._insist([self._approval(str((sample.record or {})["id"])) for sample in applied])
        return await self.signed_in(applied)

    async def staff_token(self, role: str = "staff") -> str:
        """A member of staff of one's own, with limits of one's own."""
        self._staff_made += 1
        email = f"{role}.{self._staff_made}@example.test"
        command = {"command": "create-staff", "email": email, "full_name": STAFF[role], "role": role, "language": "en"}
        answer = await self._target.invoke("AdminFunction", command)
        if isinstance(answer, dict) and "errorMessage" in answer:
            raise NotPrepared(f"create-staff: {answer['errorMessage']}")
        await self._linked([email])
        return await asyncio.to_thread(self._target.identities.token, email)

    def __len__(self) -> int:
        return len(self._members)

    def take(self, count: int) -> list[Person]:
        """So many members that no scenario has had. Raises NotPrepared where there are too few."""
        if len(self._members) < count:
            raise NotPrepared(f"{count} members are needed, {len(self._members)} are left")
        taken, self._members = self._members[:count], self._members[count:]
        return taken

    def _approval(self, agent_id: str) -> Call:
        decision = {"decision": "approve", "reason": "References checked."}
        return self._people.post("approve", f"/agents/{agent_id}/decision", decision, token=self.staff,
                                 facts={"subject": agent_id})  # fmt: skip

    async def _person(self, sample: Sample) -> Person:
        record, email = sample.record or {}, str((sample.call.body or {})["email"])
        token = await asyncio.to_thread(self._target.identities.token, email)
        return Person(str(record["id"]), email, token, sample.call.client, record)

    async def _linked(self, emails: Sequence[str]) -> None:
        """Wait until all have identities; for as long as that goes on, however many they are. Raises NotPrepared."""
        linked, until = -1, 0.0
        while linked < len(set(emails)):
            found = (await self._target.rows(LINKED, {"emails": list(emails)}))[0]["n"]
            if found > linked:
                linked, until = found, time.monotonic() + SIGN_IN_S
            elif time.monotonic() > until:
                raise NotPrepared(f"no further identity within {SIGN_IN_S:.0f} s: {linked} of {len(emails)} people")
            await asyncio.sleep(LOOK_S)
