"""GCRA, the generic cell rate algorithm: a token bucket stored as one number.

The number is the theoretical arrival time (TAT): the moment at which all tokens of the bucket will be back. All times
are integer microseconds since the epoch, so that sums are exact and DynamoDB can compute them too. While the DynamoDB
table keeps a bucket's item, its TAT never decreases, so a TAT seen earlier is a lower bound: a request that is refused
with it would be refused with the current one too. An item expires only after its TAT has passed.

If the clocks of two execution environments differ, a decision is off by at most that difference; the error does not
accumulate.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from shared.admission.ports import Quota, RateLimit
from shared.units import SECOND

# An estimate: within the period of a limit, one execution environment serves fewer clients than this. At about 200
# bytes a bucket, all of them take less than 1 MB.
MOST_RECENT_BUCKETS = 4096


@dataclass(frozen=True, slots=True)
class LimitDecision:
    """The decision about one request.

    `tat` is the bucket's TAT after the request; a refusal leaves it unchanged. `retry_after_us` is the time in
    microseconds until the request would be accepted, 0 if it is.
    """

    accepted: bool
    tat: int
    quota: Quota
    retry_after_us: int


def compute_interval(limit: RateLimit) -> int:
    """Return the microseconds until one spent token is back, rounded up so that the limit is never exceeded."""
    return -(-round(limit.period_s * SECOND) // limit.burst)


def compute_latest_tat(limit: RateLimit, now: int) -> int:
    """Return the largest TAT with which a request made at `now` is still accepted."""
    return now + (limit.burst - 1) * compute_interval(limit)


def decide(limit: RateLimit, tat: int | None, now: int) -> LimitDecision:
    """Decide about a request made at `now`; `tat` is the bucket's last known TAT, None for a bucket never used."""
    start = now if tat is None else max(tat, now)
    wait = start - compute_latest_tat(limit, now)
    if wait > 0:
        return LimitDecision(accepted=False, tat=start, quota=compute_quota(limit, start, now), retry_after_us=wait)
    spent = start + compute_interval(limit)
    return LimitDecision(accepted=True, tat=spent, quota=compute_quota(limit, spent, now), retry_after_us=0)


def compute_quota(limit: RateLimit, tat: int, now: int) -> Quota:
    """Return the quota that is left at `now` of a bucket with this `tat`."""
    reset_us, interval_us = max(tat - now, 0), compute_interval(limit)
    remaining = max(limit.burst * interval_us - reset_us, 0) // interval_us
    # With one token more, `burst - remaining - 1` are missing, and each of them takes one interval to come back.
    next_us = reset_us - (limit.burst - remaining - 1) * interval_us if reset_us else 0
    return Quota(limit=limit, remaining=remaining, reset_s=reset_us / SECOND, next_s=next_us / SECOND)


class RecentBuckets:
    """The last known TATs of at most `size` buckets; the bucket whose TAT was stored longest ago is dropped first."""

    def __init__(self, size: int = MOST_RECENT_BUCKETS) -> None:
        self._size = size
        self._tats: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def get(self, bucket: str) -> int | None:
        """Return the last known TAT of the bucket, a lower bound of its current TAT; None if none is known."""
        return self._tats.get(bucket)

    def learn(self, bucket: str, tat: int | None) -> None:
        """Remember a TAT that the table holds, or a lower bound of it; forget the bucket if it is None.

        A lower TAT replaces a higher one too: the table may have lost its items since.
        """
        with self._lock:
            self._tats.pop(bucket, None)
            if tat is not None:
                self._tats[bucket] = tat
            if len(self._tats) > self._size:
                self._tats.popitem(last=False)
