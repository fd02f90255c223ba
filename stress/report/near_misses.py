"""The checks of a run that were closest to failing: how far the interval of each was from its bar.

A share or percentile that held by a hair is worth as much attention as one that failed. Checks without an interval are
exact: a single lost or doubled write breaks them, so they are counted, and not ordered.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from stress.model import Assertion, ReadinessReport
from stress.report.consistency import judge_result

SHOWN = 8


@dataclass(frozen=True)
class NearMiss:
    """A check that held, and its scenario's number; `distance` is from its unfavourable end to the bar, as a share."""

    scenario: int
    check: Assertion
    distance: float


@dataclass(frozen=True)
class NearMisses:
    """The checks that were closest, the nearest first; how many have an interval, and how many are exact."""

    nearest: list[NearMiss]
    with_interval: int
    exact: int


def find_near_misses(report: ReadinessReport) -> NearMisses:
    """Return how close the checks that held were to failing, over all scenarios that passed."""
    held = list(_list_held(report))
    measured = [
        NearMiss(scenario, check, distance)
        for scenario, check in held
        if (distance := _measure_distance(check)) is not None
    ]
    nearest = sorted(measured, key=lambda each: each.distance)[:SHOWN]
    return NearMisses(nearest, with_interval=len(measured), exact=len(held) - len(measured))


def _list_held(report: ReadinessReport) -> Iterator[tuple[int, Assertion]]:
    for number, result in enumerate(report.results, 1):
        if judge_result(result) == "PASS":
            yield from ((number, check) for check in result.checks if check.passed)


def _measure_distance(check: Assertion) -> float | None:
    """Return the distance as a share of the bar, 0 at the bar; None for a check without an interval or a bar."""
    if check.estimate is None or check.evidence is None or not check.evidence.bar:
        return None
    bar = check.evidence.bar
    beyond = bar - check.estimate.high if check.evidence.side == "at most" else check.estimate.low - bar
    return beyond / abs(bar)
