"""The deployed alarms on what a local cloud's functions really wrote, judged by CloudWatch's documented rules.

A run of the health report stands for a minute, however long it takes: each writes its metrics anew.
"""

import os
import signal
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from local.alarms import EXTRA_PERIODS, build_rule, judge
from local.events.cloudwatch import CloudWatch
from local.postgres import DATABASE
from local.state_folder import StateFolder
from tests.alarms.declared_troubles import TROUBLES
from tests.alarms.troubles import invoke_function
from tests.alarms.watched_cloud import SCHEDULE, WatchedCloud
from tests.e2e.cloud import ROOT, RunningCloud, wait_until
from tests.e2e.test_circuits import force, states
from tests.settings.alarms import ALARMS, SCHEDULES

NAMESPACE = "Interdomestik"
STACK = {"stack": "interdomestik"}
MOST_PERIODS = 15 + EXTRA_PERIODS  # of a minute, that any alarm of ours looks at
WRITTEN_S = 3.0  # from the log to the emulator
CROWDED = 46  # of 50 connections that the functions may have
KEPT_S = 6.0  # somewhat longer than the deep check keeps its answer


@dataclass(frozen=True)
class Watched:
    """A local cloud and its CloudWatch."""

    cloud: RunningCloud
    cloudwatch: CloudWatch
    began: list[int] = field(default_factory=list)  # the epoch second in which each minute has begun

    def report(self, minutes: int, *, unhealthy: bool = False, act: Callable[[], object] = lambda: None) -> range:
        """Let minutes begin, in each of which the health report runs as its schedule does; return their numbers.

        `act` is done once in each minute, before the report.
        """
        for _ in range(minutes):
            self._begin_minute()
            act()
            report = invoke_function(self.cloud, "HealthFunction", SCHEDULE).json()
            assert (report["status"] == "unhealthy") == unhealthy
        time.sleep(WRITTEN_S)
        return self._number_last(minutes)

    def keep_silent(self, minutes: int) -> range:
        """Let minutes begin without a report; return their numbers."""
        for _ in range(minutes):
            self._begin_minute()
        return self._number_last(minutes)

    def _number_last(self, minutes: int) -> range:
        return range(len(self.began) - minutes, len(self.began))

    def _begin_minute(self) -> None:
        """Wait for the next whole second, as CloudWatch gives values by the second."""
        second = int(time.time()) + 1
        time.sleep(max(0.0, second - time.time()))
        self.began.append(second)

    def deployed(self) -> dict[str, dict[str, Any]]:
        """Return the deployed alarms on our own metrics, by their names in the template.

        Those on schedules are left out, since these run in real minutes here, and those of a release: there is none.
        """
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"NextToken": None}
        while "NextToken" in page:
            page = self.cloudwatch.call("DescribeAlarms", NextToken=page["NextToken"])
            found += page["MetricAlarms"]
        ours = {each["AlarmName"].split("-")[1]: each for each in found if each["Namespace"] == NAMESPACE}
        left_out = SCHEDULES.keys() | {name for name, watch in ALARMS.items() if watch.group == "release"}
        return {name: alarm for name, alarm in ours.items() if name not in left_out}

    def values(self, alarm: Mapping[str, Any], minutes: range) -> list[tuple[float, float]]:
        """Return what an alarm's metric got in these minutes, each value with the number of its minute."""
        answer = self.cloudwatch.call(
            "GetMetricStatistics",
            Namespace=alarm["Namespace"],
            MetricName=alarm["MetricName"],
            Dimensions=alarm["Dimensions"],
            StartTime=self.began[minutes.start],
            EndTime=time.time() + 60,
            Period=1,
            Statistics=["Maximum"],
        )
        points = [(float(point["Timestamp"]), float(point["Maximum"])) for point in answer["Datapoints"]]
        return [(bisect_right(self.began, second) - 1, value) for second, value in points]

    def ringing(self, minutes: range) -> set[str]:
        """Return which of our alarms ring at the end of these minutes, by what was written in them alone."""
        found = set()
        for name, alarm in self.deployed().items():
            rule = replace(build_rule(alarm), period_s=1 if alarm["Period"] == 60 else MOST_PERIODS)
            if judge(rule, self.values(alarm, minutes), now=minutes.stop, state="OK") == "ALARM":
                found.add(name)
        return found

    def composite(self, name: str) -> str:
        """Return the state of an alarm on other alarms, as the emulator judges it."""
        found = self.cloudwatch.call("DescribeAlarms", AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        [state] = [each["StateValue"] for each in found if name in each["AlarmName"]]
        return str(state)


@pytest.fixture(scope="module")
def watched(alarm_cloud: WatchedCloud) -> Iterator[Watched]:
    """Yield the cloud of the tests of alarms, with no other reports than these tests ask for."""
    with alarm_cloud.pause_reports():
        yield Watched(alarm_cloud.cloud, alarm_cloud.alarms.cloudwatch)


@contextmanager
def keep_job(watched: Watched, *, kind: str, priority: str, state: str, age_s: int = 0) -> Iterator[None]:
    """Keep a job that no relay takes, written so many seconds ago, within the block."""
    job = uuid4()
    watched.cloud.query_rows(
        "INSERT INTO outbox (id, kind, priority, subject_id, payload, state, last_error, created_at, available_at)"
        " VALUES (%s, %s, %s, %s, '{}', %s, 'test', now() - make_interval(secs => %s), now() + interval '1 hour')",
        job,
        kind,
        priority,
        uuid4(),
        state,
        age_s,
    )
    try:
        yield
    finally:
        watched.cloud.query_rows("DELETE FROM outbox WHERE id = %s", job)


def count_sessions(watched: Watched) -> int:
    """Return how many sessions the functions' roles have."""
    [row] = watched.cloud.query_rows("SELECT count(*) AS n FROM pg_stat_activity WHERE usename LIKE 'interdomestik_%%'")
    return int(row["n"])


def open_session(watched: Watched) -> psycopg.Connection[Any]:
    """Open a session of a function's role, past the stand-in for RDS Proxy."""
    port = StateFolder(ROOT, watched.cloud.folder).read_state().ports["postgres"]
    return psycopg.connect(f"host=127.0.0.1 port={port} user=interdomestik_app dbname={DATABASE}", autocommit=True)


@contextmanager
def freeze_emulator(watched: Watched) -> Iterator[None]:
    """Stop the emulator's process within the block: connections to it are accepted, and nothing answers."""
    children = StateFolder(ROOT, watched.cloud.folder).read_state().children
    [pid] = [child.pid for child in children if child.name == "emulator"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def take_database_away(watched: Watched) -> Iterator[None]:
    """Cut all connections to the database within the block, and refuse new ones."""
    _control_database_proxy(watched, "PUT", "/listening", listening=False)
    try:
        _control_database_proxy(watched, "POST", "/cut")
        yield
    finally:
        _control_database_proxy(watched, "PUT", "/listening", listening=True)


def _control_database_proxy(watched: Watched, method: str, path: str, **body: object) -> None:
    port = StateFolder(ROOT, watched.cloud.folder).read_state().ports["database_proxy_control"]
    httpx.request(method, f"http://127.0.0.1:{port}{path}", json=body).raise_for_status()


@contextmanager
def hold_circuit_open(watched: Watched, name: str) -> Iterator[None]:
    """Force a circuit open within the block; return when health tells that it is closed again."""
    force(watched.cloud, name, "open")
    try:
        yield
    finally:
        force(watched.cloud, name, "closed")
        assert wait_until(lambda: states(watched.cloud)[name] == "closed", "the closed circuit")


def test_every_metric_carries_the_stacks_name(watched: Watched) -> None:
    """Every alarm on a metric of ours asks for this dimension."""
    minutes = watched.report(3)
    alarms = watched.deployed()
    found = {name: {each["Name"]: each["Value"] for each in alarm["Dimensions"]} for name, alarm in alarms.items()}
    assert {name for name, dimensions in found.items() if dimensions.get("stack") != STACK["stack"]} == set()
    assert watched.values(alarms["UnhealthyAlarm"], minutes)
    listed = watched.cloudwatch.call("ListMetrics", Namespace=NAMESPACE)["Metrics"]
    assert {each["Value"] for m in listed for each in m["Dimensions"] if each["Name"] == "stack"} == {STACK["stack"]}
    assert all(
        {each["Name"] for each in metric["Dimensions"]} - {"version"} == {"stack", "service"} for metric in listed
    )


def test_nothing_rings_while_all_is_well(watched: Watched) -> None:
    """All periods that an alarm looks at have reports."""
    assert watched.ringing(watched.report(MOST_PERIODS)) == set()


def test_a_job_that_was_given_up_rings_and_reaches_no_dead_letter_queue(watched: Watched) -> None:
    """Its own alarm rings and the one that tells people; both end once the job is dismissed."""
    with keep_job(watched, kind="identity", priority="low", state="failed"):
        assert watched.ringing(watched.report(5)) == TROUBLES["a job of low priority is given up"].rings
        assert watched.composite("LookTomorrow") == "ALARM"
        assert watched.composite("WakeSomebody") == "OK"
    time.sleep(KEPT_S)
    assert watched.ringing(watched.report(5)) == set()


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "priority", "state", "trouble"),
    [
        ("mail", "low", "uncertain", "a mail's outcome is uncertain"),
        ("identity", "high", "failed", "a job of high priority is given up"),
    ],
)
def test_other_jobs_that_wait_for_a_person_ring_by_their_state_and_priority(
    watched: Watched, kind: str, priority: str, state: str, trouble: str
) -> None:
    """Until somebody has decided about them."""
    with keep_job(watched, kind=kind, priority=priority, state=state):
        time.sleep(KEPT_S)
        assert watched.ringing(watched.report(5)) == TROUBLES[trouble].rings
    time.sleep(KEPT_S)
    assert watched.ringing(watched.report(5)) == set()


@pytest.mark.long
def test_old_jobs_ring_by_their_priority_and_as_late(watched: Watched) -> None:
    """Each after the time that its priority allows; when they are gone, none."""
    ages_s = {"high": 1_000, "normal": 4_000, "low": 22_000}
    with ExitStack() as jobs:
        for priority, age_s in ages_s.items():
            jobs.enter_context(keep_job(watched, kind="mail", priority=priority, state="pending", age_s=age_s))
        time.sleep(KEPT_S)
        assert watched.ringing(watched.report(12)) == TROUBLES["jobs wait for too long"].rings
    time.sleep(KEPT_S)
    assert watched.ringing(watched.report(12)) == set()


@pytest.mark.long
def test_without_a_database_the_service_is_unhealthy_and_nothing_else(watched: Watched) -> None:
    """A figure that can't be known then changes nothing; when it is back, nothing rings."""
    with take_database_away(watched):
        time.sleep(KEPT_S)
        assert watched.ringing(watched.report(6, unhealthy=True)) == TROUBLES["the database is away"].rings
    time.sleep(KEPT_S)
    assert watched.ringing(watched.report(6)) == set()


@pytest.mark.long
def test_connections_that_stay_in_use_ring(watched: Watched) -> None:
    """Nine in ten of them; when they are free again, nothing rings."""
    with ExitStack() as sessions:
        while count_sessions(watched) < CROWDED:
            sessions.enter_context(open_session(watched))
        time.sleep(KEPT_S)
        assert watched.ringing(watched.report(12)) == TROUBLES["connections stay in use"].rings
    time.sleep(KEPT_S)
    assert watched.ringing(watched.report(12)) == set()


@pytest.mark.long
def test_without_the_state_table_calls_run_without_limits_and_ring(watched: Watched) -> None:
    """By the time at which they were counted, though CloudWatch is away as well and learns of it later."""
    call = watched.cloud.make_client().get
    with freeze_emulator(watched):
        minutes = watched.report(8, act=lambda: call("/openapi.json").raise_for_status())
    time.sleep(WRITTEN_S)
    assert watched.ringing(minutes) == TROUBLES["the state table does not answer"].rings
    time.sleep(KEPT_S)
    assert watched.ringing(watched.report(6)) == set()


@pytest.mark.long
def test_silence_of_the_health_report_rings_until_it_speaks(watched: Watched) -> None:
    """As if its schedule were off; what it says of other things is kept as it was."""
    watched.report(2)
    ringing = watched.ringing(watched.keep_silent(3 + EXTRA_PERIODS))
    assert ringing == TROUBLES["the health report is silent"].rings
    assert watched.ringing(watched.report(5)) == set()


def test_an_open_circuit_rings_after_all_of_its_periods(watched: Watched) -> None:
    """Health has been degraded for as long; the alarm ends when the circuit is released."""
    with hold_circuit_open(watched, "storage"):
        time.sleep(KEPT_S)
        assert watched.ringing(watched.report(MOST_PERIODS)) == TROUBLES["a circuit stays open"].rings
    time.sleep(KEPT_S)
    assert watched.ringing(watched.report(MOST_PERIODS)) == set()
