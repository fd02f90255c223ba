"""The wake-up of the relay that a call's jobs need, sent while their transaction is under way: so it takes no time.

It names the jobs. A relay that comes before their commit finds them missing and looks again for half a second; a
commit that takes longer is followed by another wake-up. If all of them are lost, the relay's schedule finds the jobs.
"""

from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from uuid import UUID

# A commit that comes later than this after the wake-up was begun is followed by another: the relay looks for a job for
# at least 0.5 s after the wake-up has reached it (EARLY_LOOKS_S in functions/relay/relay/app.py).
LATE_S = 0.3

# Starts to wake the relay for jobs; the function it returns waits until that has succeeded or failed.
WakeRelay = Callable[[Collection[UUID]], Callable[[], object]]


class RelayWaking:
    """The wake-ups of one call."""

    def __init__(self, wake: WakeRelay, timer: Callable[[], float]) -> None:
        self._wake = wake
        self._timer = timer
        self._wait: Callable[[], object] | None = None
        self._named: AbstractSet[UUID] = frozenset()
        self._jobs: AbstractSet[UUID] = frozenset()
        self._began = 0.0

    def begin(self, jobs: AbstractSet[UUID]) -> None:
        """Start to wake the relay for the jobs of a transaction that is about to be sent; once for all its attempts."""
        self._jobs = frozenset(jobs)
        if jobs and self._wait is None:
            self._named, self._began = self._jobs, self._timer()
            self._wait = self._wake(jobs)

    def finish(self, *, is_due: bool) -> None:
        """Wait for the wake-up that was begun; send another if jobs are due that it did not name, or named too early.

        Nothing is left running, whether the transaction has committed or not.
        """
        is_woken = self._wait is not None and self._named == self._jobs and self._timer() - self._began <= LATE_S
        if self._wait is not None:
            self._wait()
        if is_due and not is_woken:
            self._wake(self._jobs)()
