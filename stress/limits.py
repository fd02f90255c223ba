"""Whether a limit was enforced to the exact call, judged from outside: by what clients sent and were answered.

A bucket of `burst` gains one every `period / burst` seconds. The moment of a decision lies between a call's sending and
its answer, so both judgements hold for any moment in between: neither can blame a limiter that keeps exact time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from stress.ledger import Sample

TOO_MANY = 429


@dataclass(frozen=True)
class Limit:
    """A bucket of `burst` calls, refilled evenly in `period_s` seconds."""

    burst: int
    period_s: float

    @property
    def interval_s(self) -> float:
        """Seconds until one spent call comes back."""
        return self.period_s / self.burst


def wrongly_accepted(samples: Sequence[Sample], limit: Limit) -> int:
    """Of one client's calls: the most that any stretch of time accepted beyond what the bucket can hold and gain."""
    taken = [s for s in samples if s.accepted and not s.replayed]
    worst = 0
    for first in taken:
        ends = sorted(s.done_s for s in taken if s.sent_s >= first.sent_s)
        for count, end in enumerate(ends, start=1):
            gained = int((end - first.sent_s) / limit.interval_s)
            worst = max(worst, count - limit.burst - gained)
    return worst


def wrongly_refused(samples: Sequence[Sample], limit: Limit) -> int:
    """Of one client's calls: how many were refused though less than a full bucket was taken in the period before."""
    taken = [s for s in samples if s.accepted and not s.replayed]
    refused = [s for s in samples if s.status == TOO_MANY]
    return sum(sum(_before(t, r, limit) for t in taken) < limit.burst for r in refused)


def _before(taken: Sample, refused: Sample, limit: Limit) -> bool:
    return taken.sent_s <= refused.done_s and taken.done_s >= refused.sent_s - limit.period_s
