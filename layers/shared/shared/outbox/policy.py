"""How long a job may be held, and how often it is tried."""

from collections.abc import Callable
from datetime import timedelta

from shared.retry.backoff import Backoff

# Waits of up to 10 s, 20 s, 40 s … 15 min: what can't be done fails after half an hour or so.
RETRY = Backoff(retries=9, base_s=10.0, factor=2.0, cap_s=900.0)
MOST_ATTEMPTS = RETRY.retries + 1

# Each twice its function's timeout: whoever holds a lease that has run out is gone.
PUBLISH_LEASE = timedelta(seconds=60)
JOB_LEASE = timedelta(seconds=120)

# A message whose job could not be looked at is shown again after some 10 s, 30 s, 90 s, 270 s: the four that are left
# before its queue gives it up outlast an outage of minutes, where the visibility timeout would cost six minutes each.
FIRST_LOOK_AGAIN_S, LATER, LONGEST_LOOK_AGAIN_S = 10.0, 3.0, 300.0


def look_again_s(received: int, uniform: Callable[[float, float], float]) -> float:
    """Seconds until a message that was received so many times is to be shown again."""
    most = min(LONGEST_LOOK_AGAIN_S, FIRST_LOOK_AGAIN_S * LATER ** (received - 1))
    return most * uniform(0.5, 1.0)
