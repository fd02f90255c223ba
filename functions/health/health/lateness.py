"""The lateness of jobs: whether they have waited longer than the mails' sending rate explains."""

from collections.abc import Mapping

# Seconds that a job may wait besides the mails before it. The relay looks for jobs every minute even if it is not
# woken: a job of high priority may be missed twice, since somebody waits for it; any other job five times.
MARGIN_S: Mapping[str, float] = {"high": 120.0, "normal": 300.0, "low": 300.0}

# The least share of the rate for a priority and those above it: the others keep 15 of 100 send slots
# (docs/decisions/0015), and some pass unused while a worker changes its batch.
LEAST_SHARE = 0.8

# Only this much of the past counts: a queue that stops is detected within nine minutes, however fast it was before.
LOOK_BACK_S = 1200.0

# A higher count says nothing more, and counting on would use up the check's time.
COUNTED_AT_MOST = 10_000


def is_late(priority: str, waits_s: float, sent: int, *, rate: float) -> bool:
    """Return whether the oldest job of a priority has waited longer than the mails before it explain.

    `waits_s` counts from when it was written, or replayed. `sent` is the number of mails of its priority or a higher
    one that were sent since then, within LOOK_BACK_S and counted up to COUNTED_AT_MOST; `rate` is how many may be sent
    per second.
    """
    allowed_s = MARGIN_S[priority] + sent / (rate * LEAST_SHARE)
    return sent < COUNTED_AT_MOST and min(waits_s, LOOK_BACK_S) > allowed_s
