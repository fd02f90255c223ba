"""The retries of a job: how many, and how long after a failure."""

from shared.retry.backoff import Backoff

# Waits of up to 10 s, 20 s, 40 s … 15 min: a job that can't be done fails after about half an hour.
RETRY = Backoff(retries=9, base_s=10.0, factor=2.0, cap_s=900.0)
MOST_ATTEMPTS = RETRY.retries + 1
