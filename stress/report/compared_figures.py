"""The figures of two runs beside each other: each with its samples and interval, and the noise of their ratio."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from stress.model import Assertion, Estimate, Figure, Latency, ReadinessReport, ScenarioResult
from stress.report import consistency
from stress.report.differences import FALSE_CALLS, LatencyDifference
from stress.report.formatting import format_estimate, format_interval, format_number
from stress.report.noise import NoiseBand, choose_width, estimate_ratio, find_band

NONE = "-"
UNTESTED = "not tested"
WITHIN, UNCLEAR = "within noise", "unclear"
HEADERS = ("scenario", "figure", "n A", "n B", "A", "B", "B / A", "noise", "difference")
Differences = Mapping[tuple[str, str], LatencyDifference]
ComparedPercentile = Literal["p50", "p95"]
Row = tuple[str, ...]


@dataclass(frozen=True)
class MeasuredSide:
    """One run's part of a comparison: its value as text, its number of samples, and its estimate if it has one."""

    text: str = NONE
    samples: int | None = None
    estimate: Estimate | None = None


@dataclass(frozen=True)
class ComparedFigure:
    """A figure of both runs. `difference` says what is to be said of it; if empty, the band will.

    `is_tested` means that the raw calls were tested and show no difference: a ratio beyond its band is then unclear.
    """

    scenario: str
    name: str
    a: MeasuredSide
    b: MeasuredSide
    ratio: Estimate | None = None
    band: NoiseBand | None = None
    difference: str = ""
    is_tested: bool = False

    def format_row(self) -> Row:
        """Return it as text, by HEADERS."""
        counts = [NONE if side.samples is None else f"{side.samples:,}" for side in (self.a, self.b)]
        ratio = NONE if self.ratio is None else format_estimate(self.ratio)
        band = NONE if self.band is None else format_interval(self.band.low, self.band.high)
        return self.scenario, self.name, *counts, self.a.text, self.b.text, ratio, band, self.difference


def list_pairs(
    a: ReadinessReport, b: ReadinessReport
) -> Iterator[tuple[str, ScenarioResult | None, ScenarioResult | None]]:
    """Yield the scenarios of both by key, in the order of A and then of B."""
    before, after = ({result.key: result for result in report.results} for report in (a, b))
    for key in [*before, *(key for key in after if key not in before)]:
        yield key, before.get(key), after.get(key)


def name_scenario(key: str, before: ScenarioResult | None, after: ScenarioResult | None) -> str:
    """Return the scenario's key, with a warning if a measurement is INVALID."""
    runs = [run for run, side in (("A", before), ("B", after)) if side and consistency.judge_result(side) == "INVALID"]
    return f"{key} (INVALID in {' and '.join(runs)})" if runs else key


def compare_latencies(a: ReadinessReport, b: ReadinessReport, differences: Differences) -> list[ComparedFigure]:
    """Return p50 and p95 of each operation that has one in either run, tested if its raw calls were."""
    return [
        row
        for key, before, after in list_pairs(a, b)
        for operation, one, other in _pair_latencies(before, after)
        for row in _compare_operation(
            name_scenario(key, before, after), operation, one, other, differences.get((key, operation))
        )
    ]


def list_rare_operations(a: ReadinessReport, b: ReadinessReport) -> list[str]:
    """Return the operations with too few calls for a percentile in both runs, with their numbers of calls."""
    return [
        f"{key} {operation} ({one.calls if one else 0} and {other.calls if other else 0})"
        for key, before, after in list_pairs(a, b)
        for operation, one, other in _pair_latencies(before, after)
        if not any(side and side.p50 is not None for side in (one, other))
    ]


def compare_estimates(a: ReadinessReport, b: ReadinessReport) -> list[ComparedFigure]:
    """Return the figures and checks that have an interval in both runs."""
    return [
        _compare_sides(name_scenario(key, before, after), name, one, other)
        for key, before, after in list_pairs(a, b)
        for name, one, other in _pair_sides(_list_sides(before), _list_sides(after))
        if one.estimate and other.estimate
    ]


def compare_counts(a: ReadinessReport, b: ReadinessReport) -> list[Row]:
    """Return the figures without an interval in one of the runs, as scenario, name, A, B and B / A."""
    rows: list[Row] = []
    for key, before, after in list_pairs(a, b):
        was, is_now = ({figure.name: figure for figure in side.figures} if side else {} for side in (before, after))
        for name in dict.fromkeys([*was, *is_now]):
            one, other = was.get(name), is_now.get(name)
            if not (one and other and one.estimate and other.estimate):
                texts = [_measure_figure(side).text if side else NONE for side in (one, other)]
                ratio = format_ratio(one.value, other.value) if one and other else NONE
                rows.append((name_scenario(key, before, after), name, *texts, ratio))
    return rows


def format_ratio(before: float, after: float) -> str:
    """Return B by A, as 1.25; "=" if they are equal, a dash if A is 0."""
    if before == after:
        return "="
    return f"{after / before:.2f}" if before else NONE


def add_bands(*tables: Sequence[ComparedFigure]) -> list[list[ComparedFigure]]:
    """Return the tables with the bands that all their ratios need together, and a word for each that has none."""
    ratios = [row.ratio for table in tables for row in table if row.ratio]
    width = choose_width(ratios, FALSE_CALLS)
    return [[_add_band(row, width) for row in table] for table in tables]


def _add_band(row: ComparedFigure, width: float) -> ComparedFigure:
    if row.ratio is None:
        return row
    band = find_band(row.ratio, width)
    return replace(row, band=band, difference=row.difference or _find_difference(row, row.ratio.value, band))


def _find_difference(row: ComparedFigure, ratio: float, band: NoiseBand) -> str:
    if band.contains(ratio):
        return WITHIN
    return UNCLEAR if row.is_tested else "higher" if ratio > 1 else "lower"


def _pair_latencies(
    before: ScenarioResult | None, after: ScenarioResult | None
) -> Iterator[tuple[str, Latency | None, Latency | None]]:
    was, is_now = ({each.operation: each for each in side.latencies} if side else {} for side in (before, after))
    for operation in dict.fromkeys([*was, *is_now]):
        yield operation, was.get(operation), is_now.get(operation)


def _compare_operation(
    scenario: str, operation: str, one: Latency | None, other: Latency | None, tested: LatencyDifference | None
) -> Iterator[ComparedFigure]:
    percentiles: tuple[ComparedPercentile, ...] = ("p50", "p95")
    for name in percentiles:
        sides = [_measure_latency(side, name) for side in (one, other)]
        if all(side.text == NONE for side in sides):
            continue
        row = _compare_sides(scenario, f"{operation}, {name}", *sides)
        if row.ratio is None or tested is None or (name == "p95" and not tested.is_tail_tested):
            yield replace(row, difference=UNTESTED if row.ratio else "")
        else:
            yield replace(row, difference=tested.trend if name == "p50" else tested.tail_trend, is_tested=True)


def _measure_latency(latency: Latency | None, name: ComparedPercentile) -> MeasuredSide:
    if latency is None:
        return MeasuredSide()
    value: float | None = getattr(latency, name)
    if value is None:
        return MeasuredSide(samples=latency.calls)
    if name not in latency.intervals:
        return MeasuredSide(f"{format_number(value)} ms", latency.calls)
    estimate = Estimate(value, *latency.intervals[name], latency.calls)
    return MeasuredSide(format_estimate(estimate, "ms"), latency.calls, estimate)


def _list_sides(result: ScenarioResult | None) -> dict[str, MeasuredSide]:
    if result is None:
        return {}
    checks = {check.name: _measure_check(check) for check in result.checks}
    return {**checks, **{figure.name: _measure_figure(figure) for figure in result.figures}}


def _measure_check(check: Assertion) -> MeasuredSide:
    return MeasuredSide(check.found, check.estimate.samples if check.estimate else None, check.estimate)


def _measure_figure(figure: Figure) -> MeasuredSide:
    if figure.estimate is None:
        return MeasuredSide(f"{format_number(figure.value)} {figure.unit}".rstrip())
    text = format_estimate(figure.estimate, figure.unit)
    return MeasuredSide(text, figure.estimate.samples, figure.estimate)


def _pair_sides(
    was: dict[str, MeasuredSide], is_now: dict[str, MeasuredSide]
) -> Iterator[tuple[str, MeasuredSide, MeasuredSide]]:
    for name in dict.fromkeys([*was, *is_now]):
        yield name, was.get(name, MeasuredSide()), is_now.get(name, MeasuredSide())


def _compare_sides(scenario: str, name: str, one: MeasuredSide, other: MeasuredSide) -> ComparedFigure:
    ratio = estimate_ratio(one.estimate, other.estimate) if one.estimate and other.estimate else None
    return ComparedFigure(scenario, name, one, other, ratio)
