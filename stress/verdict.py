"""The only rules that decide the status of a scenario and of a run."""

from collections.abc import Sequence

from stress.model import BUCKETS_MS, Assertion, Lag, Latency, Reconciliation, ScenarioResult, Status

LAG_BAR_MS = 50.0  # p99: a fifth of the strictest latency that is judged (250 ms)


def judge_status(
    checks: Sequence[Assertion], reconciliation: Reconciliation, lag: Lag | None, samples: int, samples_wanted: int
) -> Status:
    """Return PASS only for passed checks, all samples, a punctual generator, and a reconciliation without differences.

    Lost or doubled effects are a FAIL, however they were measured. Otherwise a measurement that can't be trusted is
    INVALID, whatever it says.
    """
    if reconciliation.differences:
        return "FAIL"
    if is_saturated(lag) or samples < samples_wanted:
        return "INVALID"
    if not all(check.passed for check in checks):
        return "FAIL"
    return "PASS" if checks and sum(reconciliation.compared.values()) else "INVALID"


def is_saturated(lag: Lag | None) -> bool:
    """Return whether the load generator was too late for the measurement to count."""
    return lag is not None and lag.p99 > lag.bar


def combine_status(results: Sequence[ScenarioResult]) -> Status:
    """Return the worst status: FAIL, INVALID, SKIPPED, PASS. A run without results is INVALID."""
    found = {result.status for result in results}
    order: tuple[Status, ...] = ("FAIL", "INVALID", "SKIPPED", "PASS")
    return next((status for status in order if status in found), "INVALID")


def compute_percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least a `share` of all do not exceed (nearest rank); 0 of none."""
    ranked = sorted(values)
    return ranked[max(0, -(-round(share * 1000) * len(ranked) // 1000) - 1)] if ranked else 0.0


def summarise_latency(operation: str, values_ms: Sequence[float]) -> Latency:
    """Return the summary of an operation's latencies."""
    histogram = [0] * (len(BUCKETS_MS) + 1)
    for value in values_ms:
        histogram[next((n for n, most in enumerate(BUCKETS_MS) if value <= most), len(BUCKETS_MS))] += 1
    p50, p90, p95, p99 = (compute_percentile(values_ms, share) for share in (0.5, 0.9, 0.95, 0.99))
    return Latency(operation, len(values_ms), p50, p90, p95, p99, max(values_ms, default=0.0), tuple(histogram))


def summarise_lag(values_ms: Sequence[float], bar_ms: float = LAG_BAR_MS) -> Lag | None:
    """Return the summary of the generator's lateness; None if it sent nothing."""
    if not values_ms:
        return None
    return Lag(
        len(values_ms), compute_percentile(values_ms, 0.5), compute_percentile(values_ms, 0.99), max(values_ms), bar_ms
    )
