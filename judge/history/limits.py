"""Rate limits: in no stretch of time were more calls of one client accepted than the bucket holds and gains.

A bucket of `burst` gains one call each `period / burst` seconds, so a stretch of d seconds may have `burst` calls and
one more for each whole interval in d. A call was decided at some moment between its begin and its end. So a stretch
from one call's begin to another's end is judged by the calls that lie wholly within it: if these are too many, no
choice of moments keeps the limit. All stretches of n calls are tried in n log n steps: beginnings from the last to the
first, with the count less what was gained of each end in a tree that adds to a range and knows its maximum.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from math import inf

from judge.history.model import HistoryCall, HistoryFindings, PromisedLimit, RecordedHistory

EXACTLY = 1e-6  # of a call: the rounding error of binary fractions at the moment of a refill
# Refusals that the database makes: the call was admitted and charged before. 409 includes none that waits for a key.
CHARGED = (409, 412)


def check_limits(history: RecordedHistory, found: HistoryFindings) -> None:
    """Check each limit for each client."""
    limits = {(limit.by, route): limit for limit in history.limits for route in limit.routes}
    charged: dict[tuple[PromisedLimit, str], list[HistoryCall]] = defaultdict(list)
    for call in history.calls:
        by, who = ("account", call.account) if call.account else ("address", call.client)
        limit = limits.get((by, call.route))
        if limit is not None and _is_charged(call):
            charged[limit, who or ""].append(call)
    for (limit, who), calls in charged.items():
        found.count("limits of clients")
        found.count("calls against limits", len(calls))
        beyond = count_beyond(limit, [(call.begin, call.end) for call in calls])
        if beyond > 0:
            found.add("limit-passed", who, f"{limit.name}: {beyond} more than {limit.burst} and what it gained")


def _is_charged(call: HistoryCall) -> bool:
    in_progress = call.problem in ("request-in-progress", "idempotency-key-reused")
    return not call.replayed and (call.is_accepted or (call.status in CHARGED and not in_progress))


def count_beyond(limit: PromisedLimit, intervals: Sequence[tuple[float, float]]) -> int:
    """Return the most calls that lie wholly in any stretch beyond what the bucket may give in it."""
    if len(intervals) <= limit.burst:
        return 0
    rate = limit.burst / limit.period_s
    ends = sorted({end for _, end in intervals})
    tree = RangeMaximum([-end * rate for end in ends])
    worst = -inf
    for begin, end in sorted(intervals, reverse=True):
        place = bisect_left(ends, end)
        tree.add(place)
        worst = max(worst, tree.maximum + begin * rate)
    return max(0, -int(-(worst - limit.burst - EXACTLY) // 1))


class RangeMaximum:
    """Numbers in a row: add one to all from a place on, and know the maximum, each in log n steps.

    Only numbers to which something was added count.
    """

    def __init__(self, values: Sequence[float]) -> None:
        """Take the numbers."""
        self._size = 1 << max(0, (len(values) - 1).bit_length())
        self._added = [0.0] * (2 * self._size)  # to the whole part below a node, its own maximum included
        self._values = values
        self._maxima = [-inf] * (2 * self._size)

    @property
    def maximum(self) -> float:
        """Return the largest number to which something was added."""
        return self._maxima[1]

    def add(self, place: int) -> None:
        """Add one to the numbers from a place on, and let the one at this place count."""
        node = place + self._size
        if self._maxima[node] == -inf:
            self._maxima[node] = self._values[place] + self._added[node]
        self._add_from(node)

    def _add_from(self, node: int) -> None:
        self._maxima[node] += 1
        self._added[node] += 1
        while node > 1:
            if node % 2 == 0:
                self._maxima[node + 1] += 1
                self._added[node + 1] += 1
            node //= 2
            self._maxima[node] = max(self._maxima[2 * node], self._maxima[2 * node + 1]) + self._added[node]
