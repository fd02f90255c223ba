"""What a run has measured, as it is written to measurements/capacity.json."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.capacity.knee import GoodputCurve
from bench.capacity.processor_time import GROUPS
from bench.capacity.turns import OUTCOMES, REFUSALS, MeasuredTurn
from bench.measured import describe_estimate, round_value
from stress.estimates import compute_percentile, estimate_percentile
from stress.model import Estimate

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
MS = 1000


def build_curve(rounds: Sequence[Sequence[MeasuredTurn]]) -> GoodputCurve:
    """Return the calls served a second of all turns. Each round has the same numbers of users, in ascending order."""
    return GoodputCurve({turns[0].users: [turn.goodput for turn in turns] for turns in zip(*rounds, strict=True)})


def describe_levels(rounds: Sequence[Sequence[MeasuredTurn]], curve: GoodputCurve) -> list[dict[str, Any]]:
    """Return what was measured with each number of users."""
    return [describe_level(turns, curve) for turns in zip(*rounds, strict=True)]


def describe_level(turns: Sequence[MeasuredTurn], curve: GoodputCurve) -> dict[str, Any]:
    """Return what all turns of one number of users have shown."""
    users, samples = turns[0].users, [sample for turn in turns for sample in turn.answered]
    seconds = sum(turn.window_s for turn in turns)
    counts = [turn.count_outcomes() for turn in turns]
    made = [sample for turn in turns for sample in turn.calls]
    refused = [sample for sample in made if sample.status in REFUSALS]
    goodput = curve.estimate_goodput(users)
    return {
        "users": users,
        "calls": len(made),
        "served": None if goodput is None else describe_estimate(goodput),
        "a_second": {name: round_value(sum(each[name] for each in counts) / seconds) for name in OUTCOMES},
        "refused": len(refused),
        "refused_with_retry_after": sum(sample.retry_after_s is not None for sample in refused),
        "latency_ms": describe_latencies([sample.latency_ms for sample in samples if sample.is_accepted]),
        "lag_p99_ms": round_value(compute_percentile([sample.lag_ms for sample in made], 0.99)),
        "processor_ms": describe_processor_time(turns, len(made)),
    }


def describe_latencies(values_ms: Sequence[float]) -> dict[str, Any]:
    """Return the percentiles of the calls served; None for one that has too few calls for an interval."""
    found = {name: estimate_percentile(values_ms, share) for name, share in PERCENTILES.items()}
    return {name: describe_estimate(each) if isinstance(each, Estimate) else None for name, each in found.items()}


def describe_processor_time(turns: Iterable[MeasuredTurn], calls: int) -> dict[str, float]:
    """Return the ms of processor time of each group for each call, its jobs included."""
    totals = {group: sum(turn.processor_s.get(group, 0.0) for turn in turns) for group in GROUPS}
    return {group: round_value(MS * total / max(1, calls)) for group, total in totals.items()}


def describe_idle(processor_s: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Return the ms of processor time of each group in a second in which nobody calls."""
    return {group: round_value(MS * processor_s[group] / seconds) for group in GROUPS}


def compute_lag(rounds: Iterable[Iterable[MeasuredTurn]]) -> float:
    """Return the 99th percentile of the generator's lateness over all turns, in ms."""
    lags = [sample.lag_ms for turns in rounds for turn in turns for sample in turn.calls]
    return round_value(compute_percentile(lags, 0.99))
