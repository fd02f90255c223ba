"""An extreme sample report: texts without a space, an hour of faults, charts with too much or too little."""

import random
from dataclasses import replace

from stress.model import (
    Assertion,
    Chart,
    ChartLine,
    Difference,
    FaultPeriod,
    Figure,
    Interval,
    Latency,
    ReadinessReport,
    Reconciliation,
    Timeline,
)
from tests.stress import sample, sample_results

LONG = "a_very_long_identifier_without_any_space_" * 4


def make_extreme_report() -> ReadinessReport:
    """Return a report with one scenario that is wrongly called PASS, and one that was not tried."""
    strange = replace(
        sample_results.make_pool(),
        title="x" * 90,
        promise=LONG,
        began_s=0,
        ended_s=1200,
        checks=[
            Assertion(LONG, passed=True, wanted=LONG, found=LONG),
            Assertion("short", passed=False, wanted="0", found="1"),
        ],
        figures=[Figure(LONG, 1_234_567.891, "requests/s", LONG), Figure("tiny", 0.000123, "s")],
        latencies=[
            *(sample_results.make_latency(f"GET /members/{LONG}/{power}", 60, 3 * 10.0**power) for power in range(4)),
            Latency("never called", 0, 0, 0, 0, 0, 0, (0,) * 20),
        ],
        answers={LONG: 3, "none": 0},
        reconciliation=Reconciliation({LONG: 1}, [Difference(LONG, LONG, LONG, LONG)]),
        charts=_make_charts(),
        notes=[LONG],
    )
    skipped = replace(
        sample_results.make_health(),
        status="SKIPPED",
        checks=[],
        figures=[],
        latencies=[],
        lag=None,
        samples=0,
        answers={},
    )
    return replace(
        sample.make_passing_report(),
        duration_s=3700,
        target="http://127.0.0.1:3000/api",
        results=[strange, skipped],
        timeline=_make_hour(),
        environment={LONG: LONG},
        settings={LONG: {LONG: [LONG]}},
    )


def _make_charts() -> list[Chart]:
    dice = random.Random(3)
    many = [
        ChartLine(f"line {i}", [(float(x), x * i + dice.random() * 30) for x in range(0, 100, 4)]) for i in range(1, 6)
    ]
    return [
        Chart("Five lines", "seconds", "ms", many, bar=900, bar_name=LONG[:40]),
        Chart(
            "Many points", "seconds", "a second", [ChartLine("one", [(float(x), dice.random()) for x in range(600)])]
        ),
        Chart("One point", "seconds", "a second", [ChartLine("one", [(5.0, 7.0)])]),
        Chart("Nothing", "seconds", "MB", []),
        Chart("Only zeros", "seconds", "MB", [ChartLine("zero", [(0.0, 0.0), (9.0, 0.0)])], log=True),
    ]


def _make_hour() -> Timeline:
    dice = random.Random(4)
    return Timeline(
        throughput=[(float(second), 200 + dice.random() * 50) for second in range(3700)],
        errors=[(float(second), float(dice.random() < 0.01)) for second in range(3700)],
        faults=[FaultPeriod(f"{LONG}{minute}", 100.0 * minute, 100.0 * minute + 40) for minute in range(36)],
        circuits={LONG: [Interval("closed", 0, 3700)]},
    )
