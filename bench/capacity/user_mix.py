"""The calls of users: the mix of the readiness report's fifty, each call by the next of many members.

A limit of a client is met by whoever repeats; with the calls spread evenly over the members it stays as it is deployed,
and refuses none of them.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

from stress.call_factory import CallFactory
from stress.fixtures import SignedInUser
from stress.ledger import PlannedCall
from stress.scenarios.compared_systems import REFUSABLE

# Of 100 calls of a user, as stress/scenarios/capacity.py chooses them; a test compares the two.
SHARES = {"own member": 45, "own claims": 30, "health": 13, "register": 5, "apply": 3, "claim": 4}


class UserCalls:
    """An endless, seeded stream of the calls that users make."""

    def __init__(self, call_factory: CallFactory, members: Sequence[SignedInUser], seed: int) -> None:
        """Begin both rotations of the members: of those who read, and of those who file a claim."""
        self._call_factory = call_factory
        self._dice = random.Random(seed)
        self._readers = itertools.cycle(members)
        self._claimants = itertools.cycle(members)

    def make_call(self) -> PlannedCall:
        """Return the next call; under overload it may be refused with 429 or 503."""
        [operation] = self._dice.choices(tuple(SHARES), tuple(SHARES.values()))
        return replace(self._make_call_of(operation), wanted=REFUSABLE)

    def make_own_record_reads(self, count: int) -> list[PlannedCall]:
        """Return reads of their own record by the next members, one each."""
        return [replace(self._make_call_of("own member"), wanted=REFUSABLE) for _ in range(count)]

    def _make_call_of(self, operation: str) -> PlannedCall:
        factory = self._call_factory
        if operation == "register":
            return factory.make_registration()
        if operation == "apply":
            return factory.make_application()
        if operation == "claim":
            member = next(self._claimants)
            return factory.make_claim(member.token, client=member.address, facts={"member": member.id})
        reader = next(self._readers)
        if operation == "health":
            return factory.make_read("health", "/health", client=reader.address)
        path = "/members/me" if operation == "own member" else "/claims"
        return factory.make_read(operation, path, token=reader.token, client=reader.address)
