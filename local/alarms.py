"""CloudWatch's judgement of an alarm, as AWS documents it ("Configuring how CloudWatch alarms treat missing data").

The emulator judges more crudely (local/events/cloudwatch.py), so tests judge by this.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Missing = Literal["missing", "ignore", "breaching", "notBreaching"]

# CloudWatch looks at more periods than it judges, in case some are empty; its examples have 5 for 3.
EXTRA_PERIODS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An alarm on one metric: `needed` of `of` periods of `period_s` seconds have to breach the threshold."""

    statistic: str
    period_s: float
    needed: int
    of: int
    threshold: float
    comparison: str
    missing: Missing = "missing"

    def is_breached_by(self, value: float) -> bool:
        """Return whether a period's value breaches the threshold. Raise ValueError."""
        match self.comparison:
            case "GreaterThanThreshold":
                return value > self.threshold
            case "GreaterThanOrEqualToThreshold":
                return value >= self.threshold
            case "LessThanThreshold":
                return value < self.threshold
            case "LessThanOrEqualToThreshold":
                return value <= self.threshold
        raise ValueError(self.comparison)


def build_rule(properties: Mapping[str, object]) -> Rule:
    """Return the rule of an alarm's properties, as a template or DescribeAlarms has them."""
    of = int(str(properties["EvaluationPeriods"]))
    missing: Missing = properties.get("TreatMissingData", "missing")  # type: ignore[assignment]
    return Rule(
        # The emulator describes an alarm on a percentile with the statistic Average as well.
        statistic=str(properties.get("ExtendedStatistic") or properties["Statistic"]),
        period_s=int(str(properties["Period"])),
        needed=int(str(properties.get("DatapointsToAlarm", of))),
        of=of,
        threshold=float(str(properties["Threshold"])),
        comparison=str(properties["ComparisonOperator"]),
        missing=missing,
    )


def judge(rule: Rule, values: Iterable[tuple[float, float]], *, now: float, state: State) -> State:
    """Return the state of an alarm at `now` (epoch seconds), which was in `state` before.

    `values` are what its metric got, each with its time in epoch seconds.
    """
    periods = summarise(rule, values, now=now)
    return judge_points([None if value is None else rule.is_breached_by(value) for value in periods], rule, state)


def summarise(rule: Rule, values: Iterable[tuple[float, float]], *, now: float) -> list[float | None]:
    """Return the statistic of each period that is looked at, the oldest first; None for one without a value.

    Periods begin at whole multiples of their length, and only those that are over count.
    """
    last = math.floor(now / rule.period_s)  # the period that is not over
    first = last - rule.of - EXTRA_PERIODS
    found: dict[int, list[float]] = {}
    for at, value in values:
        found.setdefault(math.floor(at / rule.period_s), []).append(value)
    return [compute_statistic(rule.statistic, found[n]) if n in found else None for n in range(first, last)]


def compute_statistic(statistic: str, values: Sequence[float]) -> float:
    """Return a statistic of a period's values. Raise ValueError."""
    match statistic:
        case "Sum":
            return math.fsum(values)
        case "Average":
            return statistics.fmean(values)
        case "Maximum":
            return max(values)
        case "Minimum":
            return min(values)
        case "SampleCount":
            return float(len(values))
    if not statistic.startswith("p"):
        raise ValueError(statistic)
    return _compute_percentile(sorted(values), float(statistic[1:]))


def _compute_percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile, between two values if it falls between them."""
    rank = percent / 100 * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def judge_points(points: Sequence[bool | None], rule: Rule, state: State) -> State:
    """Return the state that follows from the periods looked at, the oldest first; None is one without a value."""
    real = [point for point in points if point is not None]
    if len(real) >= rule.of:
        return _choose_state(sum(real[-rule.of :]), rule)
    match rule.missing:
        case "breaching":
            return _choose_state(sum(real) + rule.of - len(real), rule)
        case "notBreaching":
            return _choose_state(sum(real), rule)
    return _judge_few(points, real, rule, state)


def _judge_few(points: Sequence[bool | None], real: Sequence[bool], rule: Rule, state: State) -> State:
    """Return the state if fewer periods than needed have values, and the others count as neither."""
    keeps = rule.missing == "ignore"
    if not real:
        return state if keeps else "INSUFFICIENT_DATA"
    if not all(real):
        return _choose_state(sum(real), rule)
    # If all periods with a value breach, that is an alarm once the first of them is old enough, however few they are.
    is_old = len(points) - points.index(True) >= rule.needed
    return state if keeps else "ALARM" if is_old else "OK"


def _choose_state(breaching: int, rule: Rule) -> State:
    return "ALARM" if breaching >= rule.needed else "OK"
