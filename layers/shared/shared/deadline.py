"""One deadline for each invocation, made from the runtime's remaining time and passed down.

Transactions receive it as an argument. Calls to AWS, which are made in many places, find it in the context: see
`use_deadline` and `get_deadline`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

# Reserved from the runtime's limit, so that an answer can still be sent before the runtime ends the call.
ANSWER_RESERVE_S = 0.5


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of a monotonic clock, in seconds."""

    at: float
    clock: Callable[[], float]

    @classmethod
    def from_seconds(cls, seconds: float, clock: Callable[[], float]) -> "Deadline":
        """Return the deadline `seconds` from now, less the time reserved for the answer."""
        return cls(clock() + max(0.0, seconds - ANSWER_RESERVE_S), clock)

    @property
    def seconds_left(self) -> float:
        """Return the seconds left, never negative."""
        return max(0.0, self.at - self.clock())

    @property
    def has_passed(self) -> bool:
        """Return whether nothing more may begin."""
        return self.seconds_left <= 0.0


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def use_deadline(deadline: Deadline) -> Iterator[None]:
    """Make this deadline the current one within the block."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


def get_deadline() -> Deadline | None:
    """Return the current deadline; None if there is none."""
    return _current.get()
