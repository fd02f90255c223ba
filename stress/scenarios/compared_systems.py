"""The two systems of a comparison, each with people of its own."""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from stress.call_factory import CallFactory
from stress.fixtures import SignedInUser
from stress.ledger import PlannedCall
from stress.load_generator import LoadGenerator
from stress.local_target import LocalCloud
from stress.scenarios.shared_steps import warm_environments

# While it is found out how much a system takes, it is asked for more than that: whatever it answers is counted.
WARMED = 20  # environments of each function: with them warm a burst of 50 is served by those that are ready
ANY_STATUS = (0, 200, 201, 429, 500, 502, 503, 504)


async def _keep_state(_cloud: LocalCloud) -> None:
    """Nothing needs to be done."""


def _make_any_call(make_call: Callable[[], PlannedCall]) -> PlannedCall:
    return replace(make_call(), wanted=ANY_STATUS)


@dataclass
class ComparedSystem:
    """One of them: its cloud, a generator for it, members who are signed in there; `fresh` makes it as if rested."""

    name: str
    cloud: LocalCloud
    generator: LoadGenerator
    call_factory: CallFactory
    members: list[SignedInUser]
    reset: Callable[[LocalCloud], Awaitable[None]] = _keep_state
    _next_members: Iterator[SignedInUser] = field(init=False)

    def __post_init__(self) -> None:
        self._next_members = itertools.cycle(self.members)

    async def warm_environments(self) -> None:
        """Start the environments that a burst needs, so that no start of one is measured."""
        kinds = {
            "AgentsFunction": self.call_factory.make_application,
            "MembersFunction": self.call_factory.make_registration,
            "ClaimsFunction": self._make_list_call,
        }
        for function, kind in kinds.items():
            await warm_environments(self.cloud, self.generator, function, partial(_make_any_call, kind), WARMED)

    def make_burst(self, count: int) -> list[PlannedCall]:
        """So many calls, spread over three rooms as evenly as can be: two that write and one that reads."""
        kinds = itertools.cycle(
            (self.call_factory.make_registration, self.call_factory.make_application, self._make_list_call)
        )
        return [replace(kind(), wanted=ANY_STATUS) for kind in itertools.islice(kinds, count)]

    def make_stream(self, count: int) -> Iterator[PlannedCall]:
        """So many calls one after another: 3 of 4 read, 1 writes."""
        kinds = (self._make_read_call, self._make_list_call, self._make_read_call, self.call_factory.make_registration)
        return (replace(kinds[n % len(kinds)](), wanted=ANY_STATUS) for n in range(count))

    def make_mix(self) -> list[PlannedCall]:
        """20 applications, 20 registrations, 15 claims."""
        claims = [self._make_claim() for _ in range(15)]
        return [
            *(self.call_factory.make_application() for _ in range(20)),
            *(self.call_factory.make_registration() for _ in range(20)),
            *claims,
        ]

    def _make_claim(self) -> PlannedCall:
        member = next(self._next_members)
        return self.call_factory.make_claim(member.token, client=member.address, facts={"member": member.id})

    def _make_list_call(self) -> PlannedCall:
        member = next(self._next_members)
        return self.call_factory.make_read("own claims", "/claims", token=member.token, client=member.address)

    def _make_read_call(self) -> PlannedCall:
        member = next(self._next_members)
        return self.call_factory.make_read("own member", "/members/me", token=member.token, client=member.address)
