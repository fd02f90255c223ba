"""The check from outside that a rate limit was exact to the call: by what clients sent and which answers they got.

A bucket of `burst` gains one every `period / burst` seconds. The moment of a decision lies between a call's sending and
its answer. Both functions assume the moment that favours the limiter, so they never blame one that keeps exact time.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stress.ledger import CallSample

OK, TOO_MANY = 200, 429
EXACTLY = 1e-6  # of a call: the rounding error of binary fractions at the moment of a refill


@dataclass(frozen=True)
class ObservedLimit:
    """A bucket of `burst` calls, refilled evenly in `period_s` seconds."""

    burst: int
    period_s: float

    @property
    def interval_s(self) -> float:
        """Return the seconds in which the bucket gains one call."""
        return self.period_s / self.burst


def count_wrongly_accepted(samples: Sequence[CallSample], limit: ObservedLimit) -> int:
    """Return the most calls of a client accepted in any interval beyond what the bucket can hold and gain."""
    taken = [s for s in samples if s.is_accepted and not s.replayed]
    worst = 0
    for first in taken:
        ends = sorted(s.done_s for s in taken if s.sent_s >= first.sent_s)
        for count, end in enumerate(ends, start=1):
            gained = int((end - first.sent_s) / limit.interval_s + EXACTLY)
            worst = max(worst, count - limit.burst - gained)
    return worst


def count_wrongly_refused(samples: Sequence[CallSample], limit: ObservedLimit) -> int:
    """Return how many calls of one client were refused though the bucket had one, however late others were charged."""
    charged = [s for s in samples if _can_be_charged(s)]
    sent, done = sorted(s.sent_s for s in charged), sorted(s.done_s for s in charged)

    def is_empty(refused: CallSample) -> bool:
        until = bisect_right(sent, refused.done_s)
        return any(
            limit.burst + _compute_refill(first, refused, limit) - (until - bisect_left(done, first.sent_s))
            < 1 + EXACTLY
            for first in charged
            if first.sent_s <= refused.done_s
        )

    return sum(s.status == TOO_MANY and not is_empty(s) for s in samples)


def count_asked_beyond(samples: Sequence[CallSample], limit: ObservedLimit) -> int:
    """Return how many calls of one client a limiter that refuses nobody would have accepted beyond the limit.

    Of a client with none `count_wrongly_accepted` is 0, whatever the limiter does.
    """
    return count_wrongly_accepted([replace(s, status=OK) if s.status == TOO_MANY else s for s in samples], limit)


def _compute_refill(first: CallSample, refused: CallSample, limit: ObservedLimit) -> float:
    """Return what the bucket has gained at least between two decisions."""
    return max(0.0, refused.sent_s - first.done_s) / limit.interval_s


def _can_be_charged(sample: CallSample) -> bool:
    """Return whether a call may have been charged: failed and unanswered ones may, as admission comes first."""
    free = sample.replayed or sample.status == TOO_MANY or sample.problem == "request-in-progress"
    return not free
