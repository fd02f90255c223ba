"""The two systems of a comparison, each with people of its own."""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from stress.crowd import Person
from stress.ledger import Call
from stress.load import Generator
from stress.people import People
from stress.scenarios.common import warm
from stress.target import LocalCloud

# While it is found out how much a system takes, it is asked for more than that: whatever it answers is counted.
WARMED = 20  # environments of each function: with them warm a burst of 50 is served by those that are ready
ANYTHING = (0, 200, 201, 429, 500, 502, 503, 504)


async def _as_it_is(_cloud: LocalCloud) -> None:
    """Nothing needs to be done."""


def _anyhow(kind: Callable[[], Call]) -> Call:
    return replace(kind(), wanted=ANYTHING)


@dataclass
class Side:
    """One of them: its cloud, a generator for it, members who are signed in there; `fresh` makes it as if rested."""

    name: str
    cloud: LocalCloud
    generator: Generator
    people: People
    members: list[Person]
    fresh: Callable[[LocalCloud], Awaitable[None]] = _as_it_is
    _turns: Iterator[Person] = field(init=False)

    def __post_init__(self) -> None:
        self._turns = itertools.cycle(self.members)

    async def warm(self) -> None:
        """Start the environments that a burst needs, so that no start of one is measured."""
        kinds = {
            "AgentsFunction": self.people.application,
            "MembersFunction": self.people.registration,
            "ClaimsFunction": self._list,
        }
        for function, kind in kinds.items():
            await warm(self.cloud, self.generator, function, partial(_anyhow, kind), WARMED)

    def at_once(self, count: int) -> list[Call]:
        """So many calls, spread over three rooms as evenly as can be: two that write and one that reads."""
        kinds = itertools.cycle((self.people.registration, self.people.application, self._list))
        return [replace(kind(), wanted=ANYTHING) for kind in itertools.islice(kinds, count)]

    def stream(self, count: int) -> Iterator[Call]:
        """So many calls one after another: 3 of 4 read, 1 writes."""
        kinds = (self._own, self._list, self._own, self.people.registration)
        return (replace(kinds[n % len(kinds)](), wanted=ANYTHING) for n in range(count))

    def mix(self) -> list[Call]:
        """20 applications, 20 registrations, 15 claims."""
        claims = [self._claim() for _ in range(15)]
        return [
            *(self.people.application() for _ in range(20)),
            *(self.people.registration() for _ in range(20)),
            *claims,
        ]

    def _claim(self) -> Call:
        member = next(self._turns)
        return self.people.claim(member.token, client=member.address, facts={"member": member.id})

    def _list(self) -> Call:
        member = next(self._turns)
        return self.people.read("own claims", "/claims", token=member.token, client=member.address)

    def _own(self) -> Call:
        member = next(self._turns)
        return self.people.read("own member", "/members/me", token=member.token, client=member.address)
