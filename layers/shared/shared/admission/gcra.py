"""GCRA, the generic cell rate algorithm: a whole bucket kept as one number.

The number is the theoretical arrival time (TAT): when the bucket will be full again. All times are
integer microseconds since the epoch, so that sums are exact and a table can do them too. A bucket's
TAT only ever grows, which makes any TAT seen before a lower bound of the one that holds now.

Clocks that differ shift a decision by their difference, once; it does not add up.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from shared.admission.ports import Quota, RateLimit
from shared.units import SECOND

# More clients than one execution environment meets within a limit's period; some 200 bytes each.
MOST_RECENT_BUCKETS = 4096


@dataclass(frozen=True, slots=True)
class LimitDecision:
    """The decision about one request: `tat` is the bucket's afterwards, `retry_after` 0 where it is accepted."""

    accepted: bool
    tat: int
    quota: Quota
    retry_after: int


def compute_interval(limit: RateLimit) -> int:
    """Microseconds until one spent request comes back; rounded up, so that no limit is ever exceeded."""
    return -(-round(limit.period_s * SECOND) // limit.burst)


def compute_latest_tat(limit: RateLimit, now: int) -> int:
    """The largest TAT with which a request made `now` is still accepted."""
    return now + (limit.burst - 1) * compute_interval(limit)


def decide(limit: RateLimit, tat: int | None, now: int) -> LimitDecision:
    """Decide a request made `now` on a bucket last seen with `tat`; None is a bucket never used."""
    start = now if tat is None else max(tat, now)
    wait = start - compute_latest_tat(limit, now)
    if wait > 0:
        return LimitDecision(accepted=False, tat=start, quota=compute_quota(limit, start, now), retry_after=wait)
    spent = start + compute_interval(limit)
    return LimitDecision(accepted=True, tat=spent, quota=compute_quota(limit, spent, now), retry_after=0)


def compute_quota(limit: RateLimit, tat: int, now: int) -> Quota:
    """Return what a bucket with `tat` still holds `now`."""
    owed, each = max(tat - now, 0), compute_interval(limit)
    remaining = max(limit.burst * each - owed, 0) // each
    # One more is there as soon as the bucket owes the time of no more than `burst - remaining - 1` requests.
    following = owed - (limit.burst - remaining - 1) * each if owed else 0
    return Quota(limit=limit, remaining=remaining, reset_s=owed / SECOND, next_s=following / SECOND)


class RecentBuckets:
    """The TATs last seen of at most `size` buckets, the longest unseen forgotten first."""

    def __init__(self, size: int = MOST_RECENT_BUCKETS) -> None:
        self._size = size
        self._tats: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def get(self, bucket: str) -> int | None:
        """Return the bucket's TAT when it was last seen: a lower bound of what it is now."""
        return self._tats.get(bucket)

    def learn(self, bucket: str, tat: int | None) -> None:
        """Remember what was seen; None is a bucket that was not there."""
        with self._lock:
            self._tats.pop(bucket, None)
            if tat is not None:
                self._tats[bucket] = tat
            if len(self._tats) > self._size:
                self._tats.popitem(last=False)
