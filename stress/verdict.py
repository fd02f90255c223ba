"""The only rules that decide the status of a scenario and of a run."""

from collections.abc import Sequence
from typing import Literal

from stress.estimates import TooFewSamples, compute_percentile, estimate_percentile
from stress.model import BUCKETS_MS, Assertion, Lag, Latency, Percentile, Reconciliation, ScenarioResult, Side, Status

Decision = Literal["met", "missed", "undecided"]

LAG_BAR_MS = 50.0  # p99: a fifth of the strictest latency that is judged (250 ms)
PERCENTILES: dict[Percentile, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def judge_status(
    checks: Sequence[Assertion], reconciliation: Reconciliation, lag: Lag | None, samples: int, samples_wanted: int
) -> Status:
    """Return PASS only for passed checks, all samples, a punctual generator, and a reconciliation without differences.

    Lost or doubled effects are a FAIL, however they were measured. Otherwise a measurement that can't be trusted is
    INVALID, whatever it says. A check that its interval leaves undecided makes INVALID what no other check fails.
    """
    if reconciliation.differences:
        return "FAIL"
    if is_saturated(lag) or samples < samples_wanted:
        return "INVALID"
    if any(not check.passed and not check.undecided for check in checks):
        return "FAIL"
    if any(check.undecided for check in checks):
        return "INVALID"
    return "PASS" if checks and sum(reconciliation.compared.values()) else "INVALID"


def decide(low: float, high: float, bar: float, side: Side) -> Decision:
    """Return whether the unfavourable end of an interval meets a bar, or even the favourable one misses it."""
    unfavourable, favourable = (high, low) if side == "at most" else (low, high)
    if _meets(unfavourable, bar, side):
        return "met"
    return "undecided" if _meets(favourable, bar, side) else "missed"


def _meets(value: float, bar: float, side: Side) -> bool:
    return value <= bar if side == "at most" else value >= bar


def is_saturated(lag: Lag | None) -> bool:
    """Return whether the load generator was too late for the measurement to count."""
    return lag is not None and lag.p99 > lag.bar


def combine_status(results: Sequence[ScenarioResult]) -> Status:
    """Return the worst status: FAIL, INVALID, SKIPPED, PASS. A run without results is INVALID."""
    found = {result.status for result in results}
    order: tuple[Status, ...] = ("FAIL", "INVALID", "SKIPPED", "PASS")
    return next((status for status in order if status in found), "INVALID")


def summarise_latency(operation: str, values_ms: Sequence[float]) -> Latency:
    """Return the summary of an operation's latencies."""
    histogram = [0] * (len(BUCKETS_MS) + 1)
    for value in values_ms:
        histogram[next((n for n, most in enumerate(BUCKETS_MS) if value <= most), len(BUCKETS_MS))] += 1
    found = {name: estimate_percentile(values_ms, share) for name, share in PERCENTILES.items()}
    shown = {name: each for name, each in found.items() if not isinstance(each, TooFewSamples)}
    p50, p90, p95, p99 = (shown[name].value if name in shown else None for name in PERCENTILES)
    intervals = {name: (each.low, each.high) for name, each in shown.items()}
    most = max(values_ms, default=0.0)
    return Latency(operation, len(values_ms), p50, p90, p95, p99, most, tuple(histogram), intervals)


def summarise_lag(values_ms: Sequence[float], bar_ms: float = LAG_BAR_MS) -> Lag | None:
    """Return the summary of the generator's lateness; None if it sent nothing.

    Its percentiles have no interval: they are of all sends that there were, and nothing is inferred from them.
    """
    if not values_ms:
        return None
    return Lag(
        len(values_ms), compute_percentile(values_ms, 0.5), compute_percentile(values_ms, 0.99), max(values_ms), bar_ms
    )
