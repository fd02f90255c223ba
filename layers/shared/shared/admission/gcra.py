"""GCRA, the generic cell rate algorithm: a leaky bucket stored as one number.

The number is the theoretical arrival time (TAT): the moment at which the bucket will be full again. All times are
integer microseconds since the epoch, so that sums are exact and DynamoDB can compute them too. A bucket's TAT never
decreases, so a TAT seen earlier is a lower bound of the current one.

If two clocks differ, a decision is off by their difference, once; the error does not add up.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from shared.admission.ports import Quota, RateLimit
from shared.units import SECOND

# More clients than one execution environment serves within a limit's period; about 200 bytes each.
MOST_RECENT_BUCKETS = 4096


@dataclass(frozen=True, slots=True)
class LimitDecision:
    """The decision about one request: `tat` is the bucket's new TAT, `retry_after` is 0 if the request is accepted."""

    accepted: bool
    tat: int
    quota: Quota
    retry_after: int


def compute_interval(limit: RateLimit) -> int:
    """Return the microseconds until one spent request comes back, rounded up so that the limit is never exceeded."""
    return -(-round(limit.period_s * SECOND) // limit.burst)


def compute_latest_tat(limit: RateLimit, now: int) -> int:
    """Return the largest TAT with which a request made at `now` is still accepted."""
    return now + (limit.burst - 1) * compute_interval(limit)


def decide(limit: RateLimit, tat: int | None, now: int) -> LimitDecision:
    """Decide about a request made at `now` on a bucket last seen with `tat`, or None if it was never used."""
    start = now if tat is None else max(tat, now)
    wait = start - compute_latest_tat(limit, now)
    if wait > 0:
        return LimitDecision(accepted=False, tat=start, quota=compute_quota(limit, start, now), retry_after=wait)
    spent = start + compute_interval(limit)
    return LimitDecision(accepted=True, tat=spent, quota=compute_quota(limit, spent, now), retry_after=0)


def compute_quota(limit: RateLimit, tat: int, now: int) -> Quota:
    """Return the quota that is left at `now` of a bucket with this `tat`."""
    owed, each = max(tat - now, 0), compute_interval(limit)
    remaining = max(limit.burst * each - owed, 0) // each
    # One more request is available once the bucket owes the time of at most `burst - remaining - 1` requests.
    following = owed - (limit.burst - remaining - 1) * each if owed else 0
    return Quota(limit=limit, remaining=remaining, reset_s=owed / SECOND, next_s=following / SECOND)


class RecentBuckets:
    """The last seen TATs of at most `size` buckets; the bucket not seen for the longest time is dropped first."""

    def __init__(self, size: int = MOST_RECENT_BUCKETS) -> None:
        self._size = size
        self._tats: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def get(self, bucket: str) -> int | None:
        """Return the TAT with which the bucket was last seen: a lower bound of its current TAT."""
        return self._tats.get(bucket)

    def learn(self, bucket: str, tat: int | None) -> None:
        """Remember a bucket's TAT; None means that the bucket does not exist."""
        with self._lock:
            self._tats.pop(bucket, None)
            if tat is not None:
                self._tats[bucket] = tat
            if len(self._tats) > self._size:
                self._tats.popitem(last=False)
