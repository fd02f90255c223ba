"""Fault by fault: which alarms ring, and that no other does; by what the code prints and CloudWatch's documented rules.

Each minute has a report of the health function as it is in that minute, and the events of that minute. The emulator is
not asked: it judges more crudely.
"""

import io
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest

from health.app import publish_report
from health.container import HealthContainer
from health.service import OutboxCounts
from local.alarms import EXTRA_PERIODS, Rule, State, build_rule, judge
from local.events.embedded_metrics import MetricDatum, read_metrics
from shared.aws.dynamodb_shared_state import CircuitStatus, SharedState
from shared.logging import STACK_VARIABLE, count_scheduled_run, observe
from shared.settings import Settings
from tests.settings.alarms import ALARMS, RELEASED
from tests.settings.printed_metrics import count_failure_of, run_as
from tests.settings.test_alarms import leaves, shown
from tests.unit.health.reports import FLEET, WRITER, ScriptedDependencies

Series = Mapping[tuple[str, str, frozenset[tuple[str, str]]], Sequence[tuple[float, float]]]
MINUTE_S = 60
FAILURE = "failure of "  # an event of this kind names the function whose version fails
BEGINS, LASTS = 200, 30  # minutes: a fault begins in the middle of an hour
BEFORE = AFTERWARDS = 300  # the longest that an alarm looks back is four hours
EVERY_MINUTES = {"relay": 1, "housekeeping": 60}  # a schedule's run of a function
QUIET = OutboxCounts(
    pending=2,
    failed=0,
    uncertain=0,
    high_unsolved=0,
    oldest_s={"high": 1.5, "normal": 0.0, "low": 4.0},
    sent={"high": 0, "normal": 0, "low": 0},
    held=0,
    oldest_held_s=0.0,
)
Change = Callable[[ScriptedDependencies], None]


@dataclass(frozen=True)
class Fault:
    """A trouble that begins and ends: `change` does it to what health finds, None where health says nothing at all.

    `events` are emitted in each of its minutes, `every_minutes` one.
    """

    rings: frozenset[str]
    change: Change | None = field(default=lambda _dependencies: None)
    events: tuple[str, ...] = ()
    silent: str = ""  # the function whose schedule is off
    minutes: int = LASTS
    every_minutes: int = 1


def _jobs(**figures: Any) -> Change:
    def change(dependencies: ScriptedDependencies) -> None:
        dependencies.found["database"] = replace(WRITER, jobs=replace(QUIET, **figures))

    return change


def _oldest(**oldest_s: float) -> Change:
    return _jobs(oldest_s={**QUIET.oldest_s, **oldest_s})


def _circuit(name: str) -> Change:
    def change(dependencies: ScriptedDependencies) -> None:
        dependencies.found["state_store"] = replace(FLEET, circuits={name: CircuitStatus("open", None)})

    return change


def _find(name: str, found: object) -> Change:
    def change(dependencies: ScriptedDependencies) -> None:
        dependencies.found[name] = found

    return change


def _rings(*names: str) -> frozenset[str]:
    return frozenset(f"{name}Alarm" for name in names)


AWAY = RuntimeError("not there")
MANY_RETRIES = SharedState(circuits={}, server=FLEET.server, retries=100)
CROWDED = replace(WRITER, used=46, jobs=QUIET)
ANOTHER_WRITER = replace(WRITER, server="b2", jobs=QUIET)
LATE = ("JobsLate", "Degraded")
FAULTS: Mapping[str, Fault] = {
    "nothing": Fault(_rings()),
    "no report": Fault(_rings("Unhealthy"), None),
    "no report for two minutes": Fault(_rings(), None, minutes=2),
    # Whichever version is released meanwhile has failed.
    "no database": Fault(_rings("Unhealthy", "HealthReleaseFailures"), _find("database", AWAY)),
    "no database for a minute": Fault(_rings("HealthReleaseFailures"), _find("database", AWAY), minutes=1),
    "a failover": Fault(_rings("Failover"), _find("database", ANOTHER_WRITER), minutes=1),
    "no connection left": Fault(_rings("DatabaseConnections", "Degraded"), _find("database", CROWDED)),
    "no connection left for five minutes": Fault(_rings(), _find("database", CROWDED), minutes=5),
    "retries": Fault(_rings("TransactionRetries"), _find("state_store", MANY_RETRIES)),
    "a failed job": Fault(_rings("JobsFailed"), _jobs(failed=1)),
    "an uncertain mail": Fault(_rings("JobsUncertain"), _jobs(uncertain=1)),
    "a failed job of high priority": Fault(
        _rings("JobsFailed", "JobsHighUnsolved", "Degraded"), _jobs(failed=1, high_unsolved=1)
    ),
    "an old job of high priority": Fault(_rings("JobsOldestPendingHigh", *LATE), _oldest(high=1_000.0)),
    "a job of high priority, ten minutes old": Fault(_rings(*LATE), _oldest(high=600.0)),
    "an old job of normal priority": Fault(_rings("JobsOldestPendingNormal", *LATE), _oldest(normal=4_000.0)),
    "an old job of low priority": Fault(_rings("JobsOldestPendingLow", *LATE), _oldest(low=22_000.0)),
    "an open circuit of mails": Fault(_rings("CircuitOpenEmail", "Degraded"), _circuit("email")),
    "an open circuit of sign-ins": Fault(_rings("CircuitOpenIdentity", "Degraded"), _circuit("identity")),
    "an open circuit of documents": Fault(_rings("CircuitOpenStorage", "Degraded"), _circuit("storage")),
    "an open circuit for five minutes": Fault(_rings(), _circuit("email"), minutes=5),
    "a circuit that opened once": Fault(_rings(), events=("circuit_opened", "circuit_closed"), minutes=1),
    "a circuit that opens and closes": Fault(
        _rings("CircuitsOpened"), events=("circuit_opened", "circuit_closed"), every_minutes=5
    ),
    "no state table": Fault(
        _rings("StateStoreUnavailable", "CircuitStoreUnavailable", "MailPaceUnavailable", "Degraded"),
        _find("state_store", AWAY),
        events=("state_store_unavailable", "circuit_store_unavailable", "mail_pacing_unavailable"),
    ),
    "no state table for a minute": Fault(_rings(), _find("state_store", AWAY), ("state_store_unavailable",), minutes=1),
    "answers that the relay can not keep": Fault(_rings("AnswersNotKept"), events=("answers_not_kept",)),
    "answers that it could not keep for two minutes": Fault(_rings(), events=("answers_not_kept",), minutes=2),
    "a housekeeping task that fails": Fault(
        _rings("ChoresFailed"), events=("housekeeping_task_failed",), minutes=130, every_minutes=60
    ),
    **{
        f"a release of {name} that fails": Fault(_rings(f"{name}ReleaseFailures"), events=(FAILURE + name,), minutes=1)
        for name in RELEASED
    },
    "the relay's schedule is off": Fault(_rings("RelaySchedule"), silent="relay"),
    "the relay's schedule is off for ten minutes": Fault(_rings(), silent="relay", minutes=10),
    "the schedule of housekeeping is off": Fault(_rings("HousekeepingSchedule"), silent="housekeeping", minutes=330),
    "a single run of housekeeping is missed": Fault(_rings(), silent="housekeeping", minutes=60),
    "a housekeeping task that failed once": Fault(_rings(), events=("housekeeping_task_failed",), minutes=1),
}  # fmt: skip


def list_printed(fault: Fault, minute: int) -> tuple[MetricDatum, ...]:
    """Return the metrics that the functions print in a minute, counted from the fault's begin."""
    is_there = 0 <= minute < fault.minutes
    runs = tuple(
        n for n, every in EVERY_MINUTES.items() if minute % every == 0 and not (is_there and n == fault.silent)
    )
    if not is_there:
        return (*_report(_nothing), *_count_runs(runs))
    events = fault.events if minute % fault.every_minutes == 0 else ()
    return (*_report(fault.change), *_counted(events), *_count_runs(runs))


def _nothing(_dependencies: ScriptedDependencies) -> None:
    """Leave all as it is."""


@cache
def _report(change: Change | None) -> tuple[MetricDatum, ...]:
    """Return what the health function prints of dependencies that were changed so."""
    if change is None:
        return ()
    dependencies = ScriptedDependencies()
    dependencies.found["database"] = replace(WRITER, jobs=QUIET)
    change(dependencies)
    container = HealthContainer(Settings(), dependencies.clock)
    container.__dict__["check"] = dependencies.check
    return _collect_metrics(lambda: run_as("Health", lambda: publish_report(container)))


@cache
def _count_runs(functions: tuple[str, ...]) -> tuple[MetricDatum, ...]:
    """Return what scheduled runs of these functions print."""

    def count() -> None:
        for name in functions:
            count_scheduled_run(name)

    return _collect_metrics(count)


@cache
def _counted(events: tuple[str, ...]) -> tuple[MetricDatum, ...]:
    def emit() -> None:
        for event in events:
            if event.startswith(FAILURE):
                count_failure_of(event.removeprefix(FAILURE))
            else:
                observe(event, {})

    return _collect_metrics(emit)


def _collect_metrics(run: Callable[[], object]) -> tuple[MetricDatum, ...]:
    output = io.StringIO()
    with patch.dict("os.environ", {STACK_VARIABLE: "Ref AWS::StackName"}), redirect_stdout(output):
        run()
    return tuple(read_metrics(output.getvalue().encode()))


def collect_series(fault: Fault) -> Series:
    """Return what CloudWatch holds after a fault: each metric's values with their times, in seconds."""
    found: dict[tuple[str, str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = defaultdict(list)
    for minute in range(-BEFORE, BEGINS + fault.minutes + AFTERWARDS):
        for datum in list_printed(fault, minute - BEGINS):
            key = (datum.namespace, datum.name, frozenset(datum.dimensions))
            found[key] += [(minute * MINUTE_S + 5.0, value) for value in datum.values]
    return found


def list_states(rule: Rule, values: Sequence[tuple[float, float]], minutes: Iterable[int]) -> list[State]:
    """Return an alarm's state in each of the minutes."""
    states: list[State] = []
    times = [at for at, _ in values]
    for minute in minutes:
        now = float(minute * MINUTE_S)
        begin = bisect_left(times, now - rule.period_s * (rule.of + EXTRA_PERIODS + 1))
        before: State = states[-1] if states else "OK"
        states.append(judge(rule, values[begin : bisect_left(times, now)], now=now, state=before))
    return states


def list_our_alarms() -> dict[str, dict[str, Any]]:
    """Return the template's alarms on metrics that our code prints."""
    return {name: shown(alarm) for name, alarm in leaves().items() if alarm["Namespace"] == "Interdomestik"}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_rings_its_alarms_and_no_other_and_they_end(name: str) -> None:
    """Nothing rings in more than three hours before it, and nothing after it."""
    fault = FAULTS[name]
    series, ends = collect_series(fault), BEGINS + fault.minutes
    minutes = range(5, ends + AFTERWARDS)
    rang, rings_still, rang_before = set[str](), set[str](), set[str]()
    for alarm, properties in list_our_alarms().items():
        dimensions = frozenset(properties["Dimensions"].items())
        values = series.get((properties["Namespace"], properties["MetricName"], dimensions), ())
        states = dict(zip(minutes, list_states(build_rule(properties), values, minutes), strict=True))
        rang |= {alarm} if "ALARM" in states.values() else set()
        rings_still |= {alarm} if states[minutes[-1]] == "ALARM" else set()
        rang_before |= {alarm} if any(states[minute] == "ALARM" for minute in range(5, BEGINS)) else set()
    assert rang == fault.rings
    assert rings_still | rang_before == set()


def test_every_alarm_of_ours_is_rung_by_a_fault() -> None:
    """An alarm that no fault rings may be unable to ring."""
    rung = {name for fault in FAULTS.values() for name in fault.rings}
    assert rung == {name for name, watch in ALARMS.items() if watch.namespace == "Interdomestik"}
