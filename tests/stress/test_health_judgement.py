"""The judgement of health's reports, against the faults there were, and against the pool and the circuits."""

import time
from typing import Any, cast

import pytest

from stress.faults import FaultLog, InjectedFault
from stress.health_monitor import HealthSample
from stress.load_generator import RunClock
from stress.scenario_context import LocalScenarioContext
from stress.scenarios import health
from stress.scenarios.failover import measure_longest_gap
from stress.scenarios.health import LATE_S, MUST_REPORTS
from tests.stress.calls import make_call, make_sample
from tests.stress.test_scenario_context import make_context

MUST = "Reports so far within an outage that they must say unhealthy"
MISSED = "Reports that did not say unhealthy while nobody could write"
INVENTED = "Reports that said unhealthy though the database was there"
OPEN = "Reports of the open circuit while mail was down"
CLOSED = "Reports of a closed circuit while it was open"
OUTAGE = InjectedFault("database refuses", "database", 100.0, 120.0)


class FakeMonitor:
    """The looks at the pool at which somebody waited."""

    def __init__(self, *full_pool_s: float) -> None:
        self.full_pool_s = list(full_pool_s)


def report(at: float, status: str = "healthy", circuit: str = "closed") -> HealthSample:
    """Return a report that was asked for at a time and answered at once."""
    return HealthSample(at, at + 0.1, status, {"status": status, "checks": {"email": {"circuit": circuit}}})


def make_run(*faults: InjectedFault, full_pool_s: tuple[float, ...] = ()) -> LocalScenarioContext:
    """Return the context of a run with these faults."""
    context = make_context()
    context.monitor, context.faults = cast("Any", FakeMonitor(*full_pool_s)), FaultLog(RunClock())
    context.faults.done += faults
    return context


def list_failed(context: LocalScenarioContext) -> list[str]:
    """Return the names of the checks that failed."""
    return [check.name for check in context.checks if not check.passed]


UNHEALTHY = [report(at, "unhealthy") for at in range(101, 120)]


def test_reports_that_follow_an_outage_in_time_are_true() -> None:
    """For a while before and after it a report may say either."""
    context = make_run(OUTAGE)
    said = [report(90.0), report(100.5), *UNHEALTHY, report(120.0 + LATE_S - 0.5, "unhealthy"), report(130.0)]
    health.judge_unhealthy(context, said)
    assert list_failed(context) == []


def test_an_outage_that_no_report_had_to_show_proves_nothing() -> None:
    """Too short a one, or a monitor that asked for nothing meanwhile: the check fails, as it compared nothing."""
    for fault, said in ((InjectedFault("x", "database", 100.0, 105.0), UNHEALTHY), (OUTAGE, [report(90.0)])):
        context = make_run(fault)
        health.judge_unhealthy(context, said)
        assert MUST in list_failed(context)
    assert MUST_REPORTS >= 1


def test_one_report_that_misses_an_outage_is_seen() -> None:
    """Among twenty that tell of it."""
    context = make_run(OUTAGE)
    health.judge_unhealthy(context, [*UNHEALTHY, report(115.5)])
    assert list_failed(context) == [MISSED]


def test_an_invented_outage_is_seen_and_its_time_is_named() -> None:
    """While a transaction waits for a connection of the pool, nobody has invented it."""
    said = [*UNHEALTHY, report(200.0, "unhealthy")]
    context = make_run(OUTAGE)
    health.judge_unhealthy(context, said)
    assert [(check.name, check.found) for check in context.checks if not check.passed] == [(INVENTED, "200.1")]
    context = make_run(OUTAGE, full_pool_s=(198.0,))
    health.judge_unhealthy(context, said)
    assert list_failed(context) == []
    context = make_run(OUTAGE, full_pool_s=(198.0 - LATE_S,))
    health.judge_unhealthy(context, said)
    assert list_failed(context) == [INVENTED]


@pytest.mark.parametrize(
    ("circuits", "failed"),
    [
        (["open", "half_open", "open"], []),
        (["closed", "open", "open"], [CLOSED]),
        ([], [OPEN]),
    ],
)
def test_a_circuit_that_its_log_says_is_open_must_be_reported(circuits: list[str], failed: list[str]) -> None:
    """Reports that are late for it may say either."""
    context, mail = make_run(), InjectedFault("mail down", "mail", 99.0, 139.0)
    period = InjectedFault("email", "circuit", 100.0, 140.0)
    said = [report(102.0), *(report(110.0 + n, circuit=circuit) for n, circuit in enumerate(circuits))]
    health.judge_circuits(context, said, [mail], [period])
    assert list_failed(context) == failed


def test_an_open_circuit_of_a_service_that_works_is_seen() -> None:
    """Long after the last outage."""
    context = make_run()
    health.judge_circuits(context, [report(300.0, circuit="open")], [InjectedFault("m", "mail", 99.0, 139.0)], [])
    assert list_failed(context) == ["Reports of an open circuit though mail could be sent"]


def test_a_circuits_own_times_become_those_of_the_run() -> None:
    """Its log has epoch seconds."""
    faults = FaultLog(RunClock())
    faults.note_open_circuit("email", time.time() - 10.0, time.time() + 5.0)
    [period] = faults.open_circuits
    assert period.began_s == pytest.approx(-10.0, abs=0.5)
    assert period.ended_s == pytest.approx(5.0, abs=0.5)
    assert faults.to_report() == []


def test_the_longest_gap_is_between_accepted_answers() -> None:
    """A refusal in between ends no gap; one accepted write has no neighbour."""
    samples = [make_sample(make_call(), status, at) for at, status in ((1, 201), (2, 503), (4.5, 201))]
    assert measure_longest_gap(samples) == 3.5
    assert measure_longest_gap(samples[:1]) == float("inf")
