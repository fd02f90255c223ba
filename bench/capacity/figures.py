"""The figures of a run beside their bars, by the unfavourable end of an interval (docs/decisions/0060)."""

from collections.abc import Mapping, Sequence
from typing import Any

from stress.model import Side, Status
from stress.verdict import LAG_BAR_MS, Decision, decide

LEAST_KEPT = 0.9
LEAST_RATIO = 2.0
OUTCOMES: dict[Decision, Status] = {"met": "PASS", "missed": "FAIL", "undecided": "INVALID"}
WORST: tuple[Status, ...] = ("FAIL", "INVALID", "PASS")


def judge_run(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each figure with its bar and outcome; what was not measured is INVALID, never a PASS."""
    curve, refusals, earlier = measured["curve"], measured["refusals"], measured["earlier"]
    refused = {status: refusals[status] for status in ("429", "503")}
    named = f"commit {earlier['commit'][:8]}" if earlier["commit"] else "an earlier commit"
    return [
        judge_estimate("Served at 3 × the knee's users ÷ the peak", curve["kept_share"], LEAST_KEPT, "at least"),
        judge_count("Refusals (429, 503) without Retry-After", refusals["without_retry_after"], all(refused.values())),
        judge_count("Answers that are neither a success nor such a refusal", sum(refusals["unexplained"].values())),
        judge_estimate(
            f"Calls a second at p95 ≤ 250 ms with 50 users ÷ those of {named}",
            earlier.get("ratio"),
            LEAST_RATIO,
            "at least",
        ),
        judge_value("The load generator's own lag, p99, ms", measured["run"]["lag_p99_ms"], LAG_BAR_MS),
    ]


def judge_estimate(name: str, estimate: Mapping[str, Any] | None, bar: float, side: Side) -> dict[str, Any]:
    """Return a figure that has an interval; None has too few rounds, or was not measured."""
    if estimate is None:
        return build_figure(name, {"value": None, "low": None, "high": None}, bar, side, "INVALID")
    return build_figure(name, estimate, bar, side, OUTCOMES[decide(estimate["low"], estimate["high"], bar, side)])


def judge_count(name: str, count: int, seen: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - none, or unseen
    """Return a figure of which there must be none; if what it counts was never seen, nothing is known of it."""
    figure = judge_value(name, count, 0)
    return figure if count or seen else {**figure, "outcome": "INVALID"}


def judge_value(name: str, value: float, at_most: float) -> dict[str, Any]:
    """Return a figure that is exact for this run."""
    outcome: Status = "PASS" if value <= at_most else "FAIL"
    return build_figure(name, {"value": value, "low": None, "high": None}, at_most, "at most", outcome)


def build_figure(name: str, estimate: Mapping[str, Any], bar: float, side: Side, outcome: Status) -> dict[str, Any]:
    """Return a figure for the file."""
    ends = {end: estimate[end] for end in ("value", "low", "high")}
    return {"name": name, **ends, "bar": bar, "side": side, "outcome": outcome}


def combine_outcomes(figures: Sequence[Mapping[str, Any]]) -> Status:
    """Return the worst outcome of all figures."""
    found = {figure["outcome"] for figure in figures}
    return next((status for status in WORST if status in found), "INVALID")
