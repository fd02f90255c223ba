"""What the harness does to the system, and when: for the timeline, and to know what the health check must say."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stress.load_generator import RunClock
from stress.model import FaultPeriod


@dataclass
class InjectedFault:
    """A fault and its time; `database` while nobody can write, `mail` while no mail can be sent."""

    name: str
    kind: str
    began_s: float
    ended_s: float | None = None


class FaultLog:
    """All of them, in the order they were begun."""

    def __init__(self, clock: RunClock) -> None:
        self._clock = clock
        self.done: list[InjectedFault] = []

    @contextmanager
    def record_during(self, name: str, kind: str = "other") -> Iterator[InjectedFault]:
        """A fault that lasts as long as the block."""
        fault = InjectedFault(name, kind, self._clock.read_now())
        self.done.append(fault)
        try:
            yield fault
        finally:
            fault.ended_s = self._clock.read_now()

    def record_instant(self, name: str, kind: str = "moment") -> None:
        """A fault that is over as soon as it was made."""
        now = self._clock.read_now()
        self.done.append(InjectedFault(name, kind, now, now))

    def list_faults(self, kind: str) -> list[InjectedFault]:
        """Those of a kind."""
        return [fault for fault in self.done if fault.kind == kind]

    def to_report(self) -> list[FaultPeriod]:
        """For the report."""
        return [FaultPeriod(f.name, f.began_s, None if f.ended_s == f.began_s else f.ended_s) for f in self.done]
