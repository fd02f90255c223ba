"""Asks the deep health check once a second, from many addresses, and keeps what it said."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stress.ledger import Sample
from stress.load import Generator
from stress.model import Interval
from stress.people import People

EVERY_S = 1.0
ADDRESSES = 14  # the deep check's limit is 10 a minute for each client: 60 a minute need more than 6


@dataclass(frozen=True)
class Said:
    """One report: when it was asked for and got, and what it was. `report` is empty where there was none."""

    asked_s: float
    got_s: float
    status: str
    report: dict[str, Any]

    def circuit(self, service: str) -> str:
        """A service's circuit as it says."""
        return str(self.report.get("checks", {}).get(service, {}).get("circuit", ""))

    @property
    def database(self) -> dict[str, Any]:
        """Return what it says of the database."""
        found: dict[str, Any] = self.report.get("checks", {}).get("database", {})
        return found


class Monitor:
    """Runs beside the scenarios from `start` to `stop`."""

    def __init__(self, generator: Generator, people: People) -> None:
        self._generator = generator
        self._addresses = [people.address() for _ in range(ADDRESSES)]
        self._people = people
        self._task: asyncio.Task[None] | None = None
        self.said: list[Said] = []
        self.began_s = 0.0

    def start(self) -> None:
        """Begin to ask."""
        self.began_s = self._generator.clock.now()
        self._task = asyncio.create_task(self._ask())

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, holds: Callable[[Said], bool], within_s: float) -> Said | None:
        """The next report of which something holds; None where there was none in time."""
        seen, clock = len(self.said), self._generator.clock
        until = clock.now() + within_s
        while clock.now() < until:
            for said in self.said[seen:]:
                if holds(said):
                    return said
            seen = len(self.said)
            await asyncio.sleep(0.1)
        return None

    async def _ask(self) -> None:
        asking: set[asyncio.Task[None]] = set()
        due, n = self._generator.clock.now(), 0
        while True:
            task = asyncio.create_task(self._one(due, self._addresses[n % ADDRESSES]))
            asking.add(task)
            task.add_done_callback(asking.discard)
            due, n = due + EVERY_S, n + 1
            await self._generator.clock.until(due)

    async def _one(self, due: float, address: str) -> None:
        call = self._people.read("deep health", "/health/deep", client=address, wanted=(200, 503))
        self.said.append(_said(await self._generator.send(call, due)))


def _said(sample: Sample) -> Said:
    report = sample.record if sample.record and "checks" in sample.record else {}
    return Said(sample.sent_s, sample.done_s, str(report.get("status", "no answer")), report)


def intervals(states: Sequence[tuple[float, str]], end_s: float) -> list[Interval]:
    """The stretches of time that states seen one after another make."""
    found: list[Interval] = []
    for n, (began, state) in enumerate(states):
        ended = states[n + 1][0] if n + 1 < len(states) else end_s
        if found and found[-1].state == state:
            found[-1] = Interval(state, found[-1].began_s, ended)
        else:
            found.append(Interval(state, began, ended))
    return found
