"""The rate limiter of mails: as many per second as SES accepts, high priority first, for all workers together.

SES counts recipients, and each mail has one: a mail is one call against the rate. The mechanism is in
priority_pacing.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.circuit.store import StoreUnavailable
from shared.clock import read_epoch_micros
from shared.deadline import Deadline
from shared.logging import observe
from shared.units import SECOND
from worker.priority_pacing import PacingRules, PacingState, PacingStore, Priority, run_slot_session, take_slot

# A worker has 60 s. It sleeps until this is left: 20 s for the mail that it sleeps for (job_runner.JOB_TIME_S), and
# time to return the rest of its batch, nine jobs at most.
AWAKE_S = 30.0

# After an unreachable-table error, skip the table for 5 s, so that only one mail pays the timeout.
UNAVAILABLE_PAUSE_S = 5.0


@dataclass(slots=True)
class MailRateLimiter:
    """The limiter of the mail rate. While the store is unavailable every mail passes, and SES does the throttling."""

    store: PacingStore
    rules: PacingRules
    clock: Callable[[], int] = read_epoch_micros
    sleep: Callable[[float], None] = field(kw_only=True)
    _paused_until: int = 0
    _seen: PacingState | None = None

    def wait_for_slot(self, priority: str, deadline: Deadline) -> None:
        """Return when a mail of that priority may be sent; raise RetryLater if its job has to return to the queue."""
        now = self.clock()
        if now < self._paused_until:
            return
        until = now + round(max(deadline.seconds_left - AWAKE_S, 0.0) * SECOND)
        session = take_slot(self.rules, Priority[priority.upper()], self.clock, until, self._seen)
        try:
            self._seen = run_slot_session(session, self.store, self.clock, self.sleep)
        except StoreUnavailable as error:
            self._paused_until = self.clock() + round(UNAVAILABLE_PAUSE_S * SECOND)
            observe("mail_pacing_unavailable", {"error": error.code})
