"""Spaces mails by the rate that SES takes from the account, for the whole fleet of workers together.

SES counts recipients, and each of our mails has one: a mail is one request against a limit. Where that turns it down,
a second limit of the same rate, the line, says how many wait already: so each mail that has to wait is given a moment
of its own, instead of all of them the next one.
"""

from collections.abc import Callable

from shared.resilience.admission import Admitted, Charge, Limit, Limited, StateStore
from shared.resilience.not_now import NotNow

FLEET = "fleet"
# How far ahead the line gives out moments; the nudge for a job that waits so long is still one that SQS can hold back.
LINE_S = 600.0


def pace(state: StateStore, *, rate: float, burst: int) -> Callable[[], None]:
    """What to call before each mail: it returns where the mail may go now, and raises NotNow where it may not.

    `rate` is in recipients a second, `burst` how many may go at once after a pause. While the state store is out of
    reach all may go: then it is SES that throttles.
    """
    mails = Limit("mail", burst=burst, period_s=burst / rate)
    places = max(1, round(LINE_S * rate))
    line = Charge(FLEET, Limit("mail-line", burst=places, period_s=places / rate))

    def take_turn() -> None:
        verdict = state.admit(charge=Charge(FLEET, mails), use=None, lease_s=0)
        if isinstance(verdict, Limited):
            raise NotNow("mail-rate", verdict.retry_after_s + _wait_in_line(state, line))

    return take_turn


def _wait_in_line(state: StateStore, line: Charge) -> float:
    verdict = state.admit(charge=line, use=None, lease_s=0)
    if isinstance(verdict, Limited):
        return LINE_S
    # `reset_s` is the length of the line with this place in it.
    return verdict.quota.reset_s - line.limit.interval_s if isinstance(verdict, Admitted) and verdict.quota else 0.0
