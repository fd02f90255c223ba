"""The monitor that asks for the deep health check once a second, from many addresses, and stores its reports.

Beside it, it looks whether transactions wait for a connection of the database's pool: then no new one begins, and a
report that says so is true.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from stress.call_factory import CallFactory
from stress.ledger import CallSample
from stress.load_generator import LoadGenerator
from stress.model import Interval

EVERY_S = 1.0
ADDRESSES = 14  # the deep check's limit is 10 a minute for each client: 60 a minute need more than 6
LOOK_S = 0.25  # between two looks at the pool; the health check waits six times as long for a connection


@dataclass(frozen=True)
class HealthSample:
    """One report: when it was asked for and received, and its content. `report` is empty if there was none."""

    asked_s: float
    got_s: float
    status: str
    report: dict[str, Any]

    def read_circuit(self, service: str) -> str:
        """Return the state of a service's circuit in the report."""
        return str(self.report.get("checks", {}).get(service, {}).get("circuit", ""))

    @property
    def database(self) -> dict[str, Any]:
        """Return what the report says of the database."""
        found: dict[str, Any] = self.report.get("checks", {}).get("database", {})
        return found


class HealthMonitor:
    """The monitor that asks for reports beside the scenarios, from `start` to `stop`."""

    def __init__(
        self,
        generator: LoadGenerator,
        call_factory: CallFactory,
        count_waiting: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """`count_waiting` returns how many transactions wait for a connection now."""
        self._generator = generator
        self._count_waiting = count_waiting
        self._addresses = [call_factory.make_client_address() for _ in range(ADDRESSES)]
        self._call_factory = call_factory
        self._tasks: list[asyncio.Task[None]] = []
        self.samples: list[HealthSample] = []
        self.full_pool_s: list[float] = []  # the times of looks at which somebody waited for a connection
        self.began_s = 0.0

    def start(self) -> None:
        """Start to ask."""
        self.began_s = self._generator.clock.read_now()
        self._tasks = [asyncio.create_task(self._ask_repeatedly()), asyncio.create_task(self._look_at_pool())]

    async def stop(self) -> None:
        """Stop asking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_for_report(self, holds: Callable[[HealthSample], bool], within_s: float) -> HealthSample | None:
        """Return the next report for which `holds` is true; None if there was none in time."""
        seen, clock = len(self.samples), self._generator.clock
        until = clock.read_now() + within_s
        while clock.read_now() < until:
            for sample in self.samples[seen:]:
                if holds(sample):
                    return sample
            seen = len(self.samples)
            await asyncio.sleep(0.1)
        return None

    async def _look_at_pool(self) -> None:
        while self._count_waiting is not None:
            with suppress(aiohttp.ClientError, TimeoutError):
                if await self._count_waiting():
                    self.full_pool_s.append(self._generator.clock.read_now())
            await asyncio.sleep(LOOK_S)

    async def _ask_repeatedly(self) -> None:
        asking: set[asyncio.Task[None]] = set()
        due, n = self._generator.clock.read_now(), 0
        while True:
            task = asyncio.create_task(self._ask_once(due, self._addresses[n % ADDRESSES]))
            asking.add(task)
            task.add_done_callback(asking.discard)
            due, n = due + EVERY_S, n + 1
            await self._generator.clock.wait_until(due)

    async def _ask_once(self, due: float, address: str) -> None:
        call = self._call_factory.make_read("deep health", "/health/deep", client=address, wanted=(200, 503))
        self.samples.append(_make_sample(await self._generator.send(call, due)))


def _make_sample(sample: CallSample) -> HealthSample:
    report = sample.record if sample.record and "checks" in sample.record else {}
    return HealthSample(sample.sent_s, sample.done_s, str(report.get("status", "no answer")), report)


def merge_intervals(states: Sequence[tuple[float, str]], end_s: float) -> list[Interval]:
    """Return the intervals between states seen one after another; equal neighbours are merged."""
    found: list[Interval] = []
    for n, (began, state) in enumerate(states):
        ended = states[n + 1][0] if n + 1 < len(states) else end_s
        if found and found[-1].state == state:
            found[-1] = Interval(state, found[-1].began_s, ended)
        else:
            found.append(Interval(state, began, ended))
    return found
