"""The wake-up of the relay, sent while a call's transaction is under way, so that the call takes no longer for it.

It names the call's jobs. A relay that comes before their commit doesn't find them, and looks again for half a second;
a commit that takes longer is followed by another wake-up. If all of them are lost, the relay's schedule finds the jobs.

A call without jobs has only an answer for the relay to keep. Its wake-up names no jobs, and reaches the relay a second
later, after the commit.
"""

from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from typing import Protocol
from uuid import UUID

# If the commit comes later than this after the wake-up was begun, another one is sent: the relay looks for a job for at
# least 0.5 s after the wake-up has reached it (EARLY_LOOKS_S in functions/relay/relay/app.py).
LATE_S = 0.3

# The delay of a wake-up for an answer alone, in whole seconds as SQS counts. Nobody waits for it, and by then the
# transaction has nearly always committed. If not, the relay's next run finds the answer, within a minute.
KEEP_DELAY_S = 1.0


class WakeRelay(Protocol):
    """A function that starts to wake the relay."""

    def __call__(self, jobs: Collection[UUID], *, delay_s: float = 0) -> Callable[[], object]:
        """Start to wake it for jobs; the returned function waits until that has succeeded or failed."""
        ...


class RelayWaking:
    """The wake-ups of one call."""

    def __init__(self, wake: WakeRelay, timer: Callable[[], float]) -> None:
        self._wake = wake
        self._timer = timer
        self._wait: Callable[[], object] | None = None
        self._named: AbstractSet[UUID] = frozenset()
        self._jobs: AbstractSet[UUID] = frozenset()
        self._began = 0.0

    def begin(self, jobs: AbstractSet[UUID], *, is_answer_kept: bool = False) -> None:
        """Start to wake the relay for a transaction that is about to be sent, once however often it is attempted.

        The transaction leaves the relay jobs to publish, an answer to keep, or both.
        """
        self._jobs = frozenset(jobs)
        if self._wait is None and (jobs or is_answer_kept):
            self._named, self._began = self._jobs, self._timer()
            self._wait = self._wake(jobs, delay_s=0 if jobs else KEEP_DELAY_S)

    def finish(self, *, is_due: bool) -> None:
        """Wait for the wake-up that was begun; send another if jobs are due that it did not name, or named too early.

        Nothing is left running, whether the transaction has committed or not.
        """
        is_woken = bool(self._named) and self._named == self._jobs and self._timer() - self._began <= LATE_S
        if self._wait is not None:
            self._wait()
        if is_due and not is_woken:
            self._wake(self._jobs)()
