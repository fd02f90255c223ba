"""A full sample report: one promise is broken and one not judged; and a second one in which all hold."""

import random
from collections.abc import Sequence
from dataclasses import replace

from stress.control_record import ControlRecord
from stress.model import FaultPeriod, Interval, Point, ReadinessReport, ScenarioResult, Status, Timeline
from tests.stress import sample_results as made

DURATION_S = 402.0
HEALTH = (
    (174, "unhealthy"), (177, "healthy"), (220, "degraded"), (246, "healthy"),
    (274, "unhealthy"), (282, "healthy"), (285, "degraded"), (306, "healthy"),
)  # fmt: skip

GUARDS = {"service": "5e7a", "harness": "4a57", "control": "c047"}
DETECTED = ControlRecord(
    "limiter-open", "agents", "No client is ever refused.", detected=True, outcome="red", status="FAIL",
    red="20 at once: exactly 5 accepted", others=["Deadlocks in the database"], when="2026-11-25T03:00:00+00:00",
    commit="f51b61400aa1", seconds=41.3, guards=GUARDS, guards_now=GUARDS,
)  # fmt: skip


def make_mixed_report() -> ReadinessReport:
    """Six hold; claims lost one acknowledged write, and capacity was measured by a generator that was late."""
    results = [
        made.make_pool(),
        made.make_agents(),
        made.make_members(),
        made.make_broken_claims(),
        made.make_breaker(),
        made.make_health(),
        made.make_late_capacity(),
        made.make_priorities(),
    ]
    return _make_report(results, "FAIL", 6)


def make_passing_report() -> ReadinessReport:
    """Return a report in which all eight scenarios pass."""
    results = [
        made.make_pool(),
        made.make_agents(),
        made.make_members(),
        made.make_claims(),
        made.make_breaker(),
        made.make_health(),
        made.make_capacity(),
        made.make_priorities(),
    ]
    return _make_report(results, "PASS", 8)


def make_other_report() -> ReadinessReport:
    """Return a report in which all eight pass, slower, on another machine and with other settings."""
    here = make_passing_report()
    slower = [
        replace(
            result,
            latencies=[
                replace(one, p50=_slow_down(one.p50, 1.31), p95=_slow_down(one.p95, 1.42)) for one in result.latencies
            ],
            figures=[replace(figure, value=round(figure.value * 0.93, 1)) for figure in result.figures],
        )
        for result in here.results
    ]
    return replace(
        here,
        started_at="2026-11-26T17:40:51+00:00",
        results=slower,
        environment=here.environment | {"processor": "4 cores, arm64", "commit": "0a24069, clean"},
        settings=here.settings | {"database connections": 20},
    )


def _slow_down(value: float | None, factor: float) -> float | None:
    return None if value is None else round(value * factor, 1)


def _make_report(results: list[ScenarioResult], verdict: Status, passed: int) -> ReadinessReport:
    return ReadinessReport(
        started_at="2026-11-25T08:14:03+00:00",
        duration_s=DURATION_S,
        profile="full",
        target="local cloud, 127.0.0.1",
        verdict=verdict,
        passed=passed,
        total=len(results),
        results=results,
        timeline=_make_timeline(),
        environment={
            "processor": "2 cores, x86-64",
            "memory": "7.8 GiB",
            "system": "Linux 6.12",
            "Python": "3.11.15",
            "PostgreSQL": "17.6",
            "commit": "f51b614, clean",
            "baseline": "GET /health alone: 1,890 answers a second",
        },
        settings={
            "seed": 20261125,
            "database connections": 10,
            "reserved concurrency": {"members": 10, "claims": 10, "agents": 5, "health": 2},
            "circuit": {"threshold": 5, "open_s": 30, "slow_ms": 2000},
            "quick": False,
        },
        controls=[DETECTED, replace(DETECTED, name="retry-off", why="Nothing is tried again.", others=[])],
    )


def _make_timeline() -> Timeline:
    dice = random.Random(11)
    rates = (48, 27, 26, 45, 12, 34, 230, 14)

    def compute_rate(second: int) -> float:
        index = next((i for i, start in enumerate(made.STARTS[1:]) if second < start), 7)
        if second < made.STARTS[0] or second > made.STARTS[index + 1] - 5:
            return 0.0
        if index == 6:
            return round(40 + 290 * (second - made.STARTS[6]) / 45 + dice.uniform(-12, 12))
        return round(rates[index] * dice.uniform(0.82, 1.18))

    throughput: list[Point] = [(float(second), compute_rate(second)) for second in range(int(DURATION_S) + 1)]
    errors = _make_stretches(((121, 124, 9), (133, 135, 11), (173, 176, 17), (281, 284, 3)))
    refused = _make_stretches(((80, 98, 3), (352, 363, 41)))
    return Timeline(
        throughput=throughput,
        errors=errors,
        refused=refused,
        faults=[
            FaultPeriod("connections cut at a drawn byte", 121, 124),
            FaultPeriod("connections cut again", 133, 135),
            FaultPeriod("writer stopped, follower promoted", 173.4, 175.1),
            FaultPeriod("mail service away", 219, 243),
            FaultPeriod("database silent", 274, 281),
            FaultPeriod("state table throttled", 285, 291),
            FaultPeriod("evidence store away", 294, 302),
            FaultPeriod("a worker killed", 388),
        ],
        circuits={
            "email": _make_states("closed", ((220, "open"), (241, "half-open"), (245, "closed"))),
            "identity": _make_states("closed", ()),
            "storage": _make_states("closed", ((295, "open"), (304, "half-open"), (305, "closed"))),
        },
        health=_make_states("healthy", HEALTH),
    )


def _make_stretches(stretches: Sequence[tuple[int, int, float]]) -> list[Point]:
    def compute_height(second: int) -> float:
        return next((value for first, last, value in stretches if first <= second <= last), 0.0)

    return [(float(second), compute_height(second)) for second in range(int(DURATION_S) + 1)]


def _make_states(first: str, moves: Sequence[tuple[float, str]]) -> list[Interval]:
    begins = [(0.0, first), *moves]
    ends = [*(at for at, _ in moves), DURATION_S]
    return [Interval(state, began, ended) for (began, state), ended in zip(begins, ends, strict=True)]
