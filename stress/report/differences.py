"""The differences of two runs' latencies that are more than chance, operation by operation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from stress.estimates import compute_percentile, count_samples_needed

# Of pages of two runs that do not differ, at most one in twenty says that some operation does (Benjamini and Hochberg,
# 1995); of the operations that a page calls, one in twenty may be called wrongly.
FALSE_CALLS = 0.05
TAIL_SHARE = 0.95
FEWEST = 8  # calls on each side; with fewer not even a doubling would be found
Trend = Literal["slower", "faster", ""]
Part = Literal["", "p95"]  # of the calls: all of them, or the slowest twentieth
Latencies = Mapping[tuple[str, str], Sequence[float]]  # milliseconds, by scenario and operation


@dataclass(frozen=True)
class LatencyDifference:
    """The difference of an operation's latencies, B to A.

    `trend` is of all calls, `tail_trend` of the slowest twentieth; each is empty if there is none beyond chance.
    """

    trend: Trend
    tail_trend: Trend = ""
    is_tail_tested: bool = True


@dataclass(frozen=True)
class TestedDifference:
    """The result of one test: what it says if it says anything, and how often chance alone would say that."""

    operation: tuple[str, str]
    part: Part
    trend: Trend
    p_value: float


def find_differences(a: Latencies, b: Latencies) -> dict[tuple[str, str], LatencyDifference]:
    """Return the difference of each operation that has enough calls in both runs.

    All calls are compared by rank (Mann and Whitney, 1947), and the slowest twentieth by Fisher's exact test, as a few
    calls that take much longer hardly change the ranks. The more tests there are, the clearer each must be.
    """
    both = [key for key in a if min(len(a[key]), len(b.get(key, ()))) >= FEWEST]
    tests = [test for key in both for test in _test_operation(key, a[key], b[key])]
    corrected = stats.false_discovery_control([test.p_value for test in tests]) if tests else []
    called = {
        (test.operation, test.part): test.trend
        for test, p_value in zip(tests, corrected, strict=True)
        if p_value <= FALSE_CALLS
    }
    return {
        key: LatencyDifference(
            called.get((key, ""), ""),
            called.get((key, "p95"), ""),
            is_tail_tested=any(test.operation == key and test.part for test in tests),
        )
        for key in both
    }


def _test_operation(key: tuple[str, str], before: Sequence[float], after: Sequence[float]) -> list[TestedDifference]:
    ranks = stats.mannwhitneyu(after, before, alternative="two-sided")
    half = len(after) * len(before) / 2
    found = [TestedDifference(key, "", "slower" if ranks.statistic > half else "faster", float(ranks.pvalue))]
    if min(len(before), len(after)) >= count_samples_needed(TAIL_SHARE):
        edge = compute_percentile([*before, *after], TAIL_SHARE)
        slow_before, slow_after = (int(np.sum(np.asarray(values) > edge)) for values in (before, after))
        table = [[slow_after, len(after) - slow_after], [slow_before, len(before) - slow_before]]
        rises = slow_after * len(before) > slow_before * len(after)
        p_value = float(stats.fisher_exact(table).pvalue)
        found.append(TestedDifference(key, "p95", "slower" if rises else "faster", p_value))
    return found
