"""The lateness of jobs: whether they have waited for longer than the rate of mails explains."""

from collections.abc import Mapping

# Seconds that a job may wait besides its turn among the mails. The relay looks every minute without being told: a job
# of high priority may be missed twice, since somebody waits for it; any other five times.
MARGIN_S: Mapping[str, float] = {"high": 120.0, "normal": 300.0, "low": 300.0}

# The share of the rate that a class has at least, together with those that go before it: the others keep 15 of 100
# moments (docs/decisions/0015), and some pass unused while a worker changes its batch.
LEAST_SHARE = 0.8

# Only so much of the past is judged: a queue that stops is seen within nine minutes, however well it went before.
LOOK_BACK_S = 1200.0

# Beyond this a count says enough, and counting on would cost the check its time.
COUNTED_AT_MOST = 10_000


def is_late(priority: str, waits_s: float, sent: int, *, rate: float) -> bool:
    """Return whether the oldest job of a priority waits for longer than those that went before it take.

    `waits_s` counts from when it was written, or replayed. `sent` are the mails of its priority or a higher one that
    left since then, within LOOK_BACK_S, counted up to COUNTED_AT_MOST; `rate` is how many may leave in a second.
    """
    allowed_s = MARGIN_S[priority] + sent / (rate * LEAST_SHARE)
    return sent < COUNTED_AT_MOST and min(waits_s, LOOK_BACK_S) > allowed_s
