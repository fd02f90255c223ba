"""A retry budget: retries are paid for by successful calls.

Retries that every caller adds during an outage keep the outage going. Here a success earns a fraction of a retry, an
outage earns nothing, and little can be saved: so in a total outage there is at most one retry per execution
environment. Nothing is shared, so this holds for any number of environments. An environment that is seldom used earns
little; a quiet minute refills its budget, and during an outage the environments that call have no quiet minute.

Source: the retry quotas of the AWS SDKs ("standard" mode) and Finagle's RetryBudget, whose minimum of retries per
second corresponds to the quiet minute.
"""

from collections.abc import Callable
from threading import Lock
from time import monotonic

# The load grows by at most a tenth, however many calls fail.
SUCCESSES_A_RETRY = 10
# An environment survives the loss of its one connection, and retries no more during an outage.
MOST_SAVED = 1
# After this long without a loss, the next one is a new incident. Doubling a load of one call a minute is harmless.
QUIET_S = 60.0


class RetryBudget:
    """The budget of one execution environment; it begins full."""

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
        """Count a success."""
        with self._lock:
            self._saved = min(self._most_saved, self._saved + 1)

    def spend(self) -> bool:
        """Count a loss, and take a retry for it; return whether there was one."""
        with self._lock:
            now = self._timer()
            if now - self._lost_at >= QUIET_S:
                self._saved = self._most_saved
            self._lost_at = now
            if self._saved < self._price:
                return False
            self._saved -= self._price
            return True
