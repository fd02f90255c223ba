"""How long a job may be held, and how often it is tried."""

from datetime import timedelta

from shared.resilience.backoff import Backoff

# Waits of up to 10 s, 20 s, 40 s … 15 min: what can't be done fails after half an hour or so.
RETRY = Backoff(retries=9, base_s=10.0, factor=2.0, cap_s=900.0)
MOST_ATTEMPTS = RETRY.retries + 1

# Each twice its function's timeout: whoever holds a lease that has run out is gone.
PUBLISH_LEASE = timedelta(seconds=60)
JOB_LEASE = timedelta(seconds=120)
