"""The rate of mails: as many a second as SES takes from the account, high ones first, for all workers together.

SES counts recipients, and each of our mails has one: a mail is one call against the rate. The mechanism is in
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
# time to hand back the rest of its batch, nine jobs at most.
AWAKE_S = 30.0

# A table that can't be reached costs a mail seconds to find out: one does, and those after it go on without asking.
UNAVAILABLE_PAUSE_S = 5.0


@dataclass(slots=True)
class MailRateLimiter:
    """Lets mails through at the rate. While the store is out of reach all go: then it is SES that throttles."""

    store: PacingStore
    rules: PacingRules
    clock: Callable[[], int] = read_epoch_micros
    sleep: Callable[[float], None] = field(kw_only=True)
    _paused_until: int = 0
    _seen: PacingState | None = None

    def wait_for_slot(self, priority: str, deadline: Deadline) -> None:
        """Return when a mail of that priority may leave; raise RetryLater where its job has to be handed back."""
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
