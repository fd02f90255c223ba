"""The two systems of a comparison, which get the same kinds of calls, and what each may answer."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from stress.call_factory import CallFactory
from stress.fixtures import SignedInUser
from stress.ledger import CallSample, PlannedCall
from stress.load_generator import LoadGenerator
from stress.local_target import DATABASE, LocalCloud
from stress.scenarios.shared_steps import warm_environments

WARMED = 20  # environments of each function: with them warm, a burst of 50 needs no new ones
# To find a capacity a system gets more calls than it can serve. This one may refuse some, but must say when to come
# again; of the predecessor every answer counts, as nobody promises anything of it.
REFUSABLE = (200, 201, 429, 503)
ANY_STATUS = (0, *range(200, 600))
KNOWN_REFUSALS = {(429, "too-many-requests"), (503, "unavailable")}


@dataclass
class ComparedSystem:
    """One of the systems: its generator, members who read, and claimants with enough of their limit left to file."""

    name: str
    generator: LoadGenerator
    call_factory: CallFactory
    members: list[SignedInUser]
    claimants: list[SignedInUser]
    curve_statuses: tuple[int, ...]
    database: str = DATABASE
    _next_members: Iterator[SignedInUser] = field(init=False)
    _next_claimants: Iterator[SignedInUser] = field(init=False)

    def __post_init__(self) -> None:
        """Start the cycles of members and claimants."""
        self._next_members = itertools.cycle(self.members)
        self._next_claimants = itertools.cycle(self.claimants)

    async def warm_environments(self, cloud: LocalCloud) -> None:
        """Start the environments that a burst needs, so that no start is measured."""
        kinds = {
            "AgentsFunction": self.call_factory.make_application,
            "MembersFunction": self.call_factory.make_registration,
            "ClaimsFunction": self._make_list_call,
        }
        for function, kind in kinds.items():
            await warm_environments(cloud, self.generator, function, partial(self._make_curve_call, kind), WARMED)

    def make_burst(self, count: int) -> list[PlannedCall]:
        """Return a number of calls, spread evenly over three functions: two that write and one that reads."""
        kinds = (self.call_factory.make_registration, self.call_factory.make_application, self._make_list_call)
        return [self._make_curve_call(kinds[n % len(kinds)]) for n in range(count)]

    def make_stream(self, count: int) -> Iterator[PlannedCall]:
        """Yield a number of calls one after another: 3 of 4 read, 1 writes."""
        kinds = (self._make_read_call, self._make_list_call, self._make_read_call, self.call_factory.make_registration)
        return (self._make_curve_call(kinds[n % len(kinds)]) for n in range(count))

    def make_mix(self, wanted: tuple[int, ...]) -> list[PlannedCall]:
        """Return 20 applications, 20 registrations and 15 claims, with the expected statuses."""
        calls = [
            *(self.call_factory.make_application() for _ in range(20)),
            *(self.call_factory.make_registration() for _ in range(20)),
            *(self._make_claim() for _ in range(15)),
        ]
        return [replace(call, wanted=wanted) for call in calls]

    def _make_curve_call(self, make_call: Callable[[], PlannedCall]) -> PlannedCall:
        return replace(make_call(), wanted=self.curve_statuses)

    def _make_claim(self) -> PlannedCall:
        member = next(self._next_claimants)
        return self.call_factory.make_claim(member.token, client=member.address, facts={"member": member.id})

    def _make_list_call(self) -> PlannedCall:
        member = next(self._next_members)
        return self.call_factory.make_read("own claims", "/claims", token=member.token, client=member.address)

    def _make_read_call(self) -> PlannedCall:
        member = next(self._next_members)
        return self.call_factory.make_read("own member", "/members/me", token=member.token, client=member.address)


def is_unexplained(sample: CallSample) -> bool:
    """Return whether an answer is neither a success nor a known refusal that says when to come again."""
    is_known_refusal = (sample.status, sample.problem) in KNOWN_REFUSALS and sample.retry_after_s is not None
    return not (sample.is_accepted or is_known_refusal)
