"""The two systems of a comparison, each with its own users."""

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

# To find a system's capacity it gets more calls than it can serve: every answer counts.
WARMED = 20  # environments of each function: with them warm, a burst of 50 needs no new ones
ANY_STATUS = (0, 200, 201, 429, 500, 502, 503, 504)


async def _keep_state(_cloud: LocalCloud) -> None:
    """Do nothing."""


def _make_any_call(make_call: Callable[[], PlannedCall]) -> PlannedCall:
    return replace(make_call(), wanted=ANY_STATUS)


@dataclass
class ComparedSystem:
    """One of the systems: its cloud, a generator and signed-in members; `reset` prepares it for a measurement."""

    name: str
    cloud: LocalCloud
    generator: LoadGenerator
    call_factory: CallFactory
    members: list[SignedInUser]
    reset: Callable[[LocalCloud], Awaitable[None]] = _keep_state
    _next_members: Iterator[SignedInUser] = field(init=False)

    def __post_init__(self) -> None:
        """Start the cycle of members."""
        self._next_members = itertools.cycle(self.members)

    async def warm_environments(self) -> None:
        """Start the environments that a burst needs, so that no start is measured."""
        kinds = {
            "AgentsFunction": self.call_factory.make_application,
            "MembersFunction": self.call_factory.make_registration,
            "ClaimsFunction": self._make_list_call,
        }
        for function, kind in kinds.items():
            await warm_environments(self.cloud, self.generator, function, partial(_make_any_call, kind), WARMED)

    def make_burst(self, count: int) -> list[PlannedCall]:
        """Return a number of calls, spread evenly over three functions: two that write and one that reads."""
        kinds = itertools.cycle(
            (self.call_factory.make_registration, self.call_factory.make_application, self._make_list_call)
        )
        return [replace(kind(), wanted=ANY_STATUS) for kind in itertools.islice(kinds, count)]

    def make_stream(self, count: int) -> Iterator[PlannedCall]:
        """Yield a number of calls one after another: 3 of 4 read, 1 writes."""
        kinds = (self._make_read_call, self._make_list_call, self._make_read_call, self.call_factory.make_registration)
        return (replace(kinds[n % len(kinds)](), wanted=ANY_STATUS) for n in range(count))

    def make_mix(self) -> list[PlannedCall]:
        """Return 20 applications, 20 registrations and 15 claims."""
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
