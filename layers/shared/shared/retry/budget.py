"""A retry budget: successes pay for what is tried again.

Retries that every caller adds in an outage are what keeps it going. Here a success earns a fraction of a retry, an
outage earns nothing, and little can be saved: so the calls of a total outage are its requests, and one retry for each
execution environment. Nothing is shared, so it holds however many environments there are. An environment that is seldom
used earns little; a quiet minute makes it as good as new, and no outage has quiet minutes for those that call.

Source: the retry quotas of the AWS SDKs ("standard" mode) and of Finagle's RetryBudget, whose least retries a second
are this quiet minute.
"""

from collections.abc import Callable
from threading import Lock
from time import monotonic

# Load grows by a tenth at most, however many calls fail.
SUCCESSES_A_RETRY = 10
# An environment survives the one connection it has being cut, and no more of an outage than that.
MOST_SAVED = 1
# Without a loss for so long, what comes next is another incident. Twice a load of one call a minute hurts nobody.
QUIET_S = 60.0


class RetryBudget:
    """Belongs to one execution environment, and begins full."""

    def __init__(
        self,
        *,
        successes_a_retry: int = SUCCESSES_A_RETRY,
        most_saved: int = MOST_SAVED,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self._price = successes_a_retry
        self._most_saved = most_saved * successes_a_retry
        self._saved = self._most_saved
        self._timer = timer
        self._lost_at = timer()
        self._lock = Lock()

    def earn(self) -> None:
        """Note a success."""
        with self._lock:
            self._saved = min(self._most_saved, self._saved + 1)

    def spend(self) -> bool:
        """Note a loss, and take a retry for it, if there is one."""
        with self._lock:
            now = self._timer()
            if now - self._lost_at >= QUIET_S:
                self._saved = self._most_saved
            self._lost_at = now
            if self._saved < self._price:
                return False
            self._saved -= self._price
            return True
