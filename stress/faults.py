"""What the harness does to the system, and when: for the timeline, and to know what the health check must say."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stress.load import Clock
from stress.model import Fault


@dataclass
class Done:
    """A fault and its time; `database` while nobody can write, `mail` while no mail can be sent."""

    name: str
    kind: str
    began_s: float
    ended_s: float | None = None


class Faults:
    """All of them, in the order they were begun."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.done: list[Done] = []

    @contextmanager
    def during(self, name: str, kind: str = "other") -> Iterator[Done]:
        """A fault that lasts as long as the block."""
        fault = Done(name, kind, self._clock.now())
        self.done.append(fault)
        try:
            yield fault
        finally:
            fault.ended_s = self._clock.now()

    def at_once(self, name: str, kind: str = "moment") -> None:
        """A fault that is over as soon as it was made."""
        now = self._clock.now()
        self.done.append(Done(name, kind, now, now))

    def of(self, kind: str) -> list[Done]:
        """Those of a kind."""
        return [fault for fault in self.done if fault.kind == kind]

    def told(self) -> list[Fault]:
        """For the report."""
        return [Fault(f.name, f.began_s, None if f.ended_s == f.began_s else f.ended_s) for f in self.done]
