"""The faults that the harness injects and their times: for the timeline, and to judge what the health check reports."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stress.load_generator import RunClock
from stress.model import FaultPeriod


@dataclass
class InjectedFault:
    """A fault and its time; `kind` is `database` while no writes are possible, `mail` while no mail can be sent."""

    name: str
    kind: str
    began_s: float
    ended_s: float | None = None


class FaultLog:
    """All injected faults, in order."""

    def __init__(self, clock: RunClock) -> None:
        self._clock = clock
        self.done: list[InjectedFault] = []
        self.open_circuits: list[InjectedFault] = []  # what followed from faults, by the circuits' own log

    @contextmanager
    def record_during(self, name: str, kind: str = "other") -> Iterator[InjectedFault]:
        """Record a fault that lasts as long as the block."""
        fault = InjectedFault(name, kind, self._clock.read_now())
        self.done.append(fault)
        try:
            yield fault
        finally:
            fault.ended_s = self._clock.read_now()

    def record_instant(self, name: str, kind: str = "moment") -> None:
        """Record a fault that is over at once."""
        now = self._clock.read_now()
        self.done.append(InjectedFault(name, kind, now, now))

    def note_open_circuit(self, circuit: str, began: float, ended: float) -> None:
        """Record when a circuit was not closed; times in epoch seconds."""
        offset_s = self._clock.read_now() - time.time()
        self.open_circuits.append(InjectedFault(circuit, "circuit", began + offset_s, ended + offset_s))

    def list_faults(self, kind: str) -> list[InjectedFault]:
        """Return the faults of a kind."""
        return [fault for fault in self.done if fault.kind == kind]

    def to_report(self) -> list[FaultPeriod]:
        """Return all faults for the report."""
        return [FaultPeriod(f.name, f.began_s, None if f.ended_s == f.began_s else f.ended_s) for f in self.done]
