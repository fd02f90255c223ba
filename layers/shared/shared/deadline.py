"""One deadline for a request, made once from the time the runtime has left, and handed down.

Transactions are handed it by name. Calls to AWS, which begin in many places, find it in the context: `under` and
`current`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

# Kept back from the runtime's limit so that an answer can still be written before the axe falls.
ANSWER_RESERVE_S = 0.5


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a monotonic clock, in seconds."""

    at: float
    clock: Callable[[], float]

    @classmethod
    def from_seconds(cls, seconds: float, clock: Callable[[], float]) -> "Deadline":
        """The moment `seconds` from now, less what is kept back for the answer."""
        return cls(clock() + max(0.0, seconds - ANSWER_RESERVE_S), clock)

    @property
    def seconds_left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock())

    @property
    def has_passed(self) -> bool:
        """Whether nothing may be begun any more."""
        return self.seconds_left <= 0.0


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def use_deadline(deadline: Deadline) -> Iterator[None]:
    """Within the block this deadline is the current one."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


def get_deadline() -> Deadline | None:
    """The deadline of what runs here; None where there is none."""
    return _current.get()
