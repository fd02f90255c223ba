"""The deep check on all it asks, whole and broken: it always answers, in time, and says no more than it may."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from health.app import publish_report
from health.container import HealthContainer
from health.deep_check import CHECK_S, SERVICES
from jobs_api import service
from local.postgres import OWNER
from shared.aws.dynamodb_shared_state import SharedStateStore
from shared.aws.errors import OutcomeUnknown, RequestRejected
from shared.circuit.store import force_circuit
from shared.clock import read_epoch_micros, read_utc_now
from shared.database.migrate import migrate
from shared.outbox.audit import Actor
from shared.settings import Settings
from tests.api_client import ApiClient, ApiReply
from tests.contract.dynamodb_clients import make_client
from tests.databases import MIGRATIONS, TEMPLATE, FreshDatabase, PostgresHandle, make_deadline, start_postgres
from tests.fakes.clock import ManualClock
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeJobQueues
from tests.integration.health.dependencies import (
    make_health_client,
    make_resources,
    open_unresponsive_port,
    run_throttling_server,
    start_standby,
    stop_server,
    use_aws_at,
)
from tests.integration.jobs.records import RecordFixtures
from tests.roles import BEFORE, FUNCTIONS, SESSION_OF_A_FUNCTION
from tests.services import EmulatorHandle
from worker.job_runner import JobRunner, MailSettings
from worker.ses import Mail

pytestmark = pytest.mark.timed

NO_JOBS = {"pending": 0, "oldest_pending_s": 0.0, "failed": 0, "held": 0, "oldest_held_s": 0.0}
SLACK_S = 0.5  # for a busy machine
CUT_S = 3.0  # the server itself gives up on a statement after 10 s: what ends earlier was cut


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresHandle]:
    """Yield a server that tests may stop."""
    running = start_postgres(tmp_path_factory.mktemp("own"))
    try:
        running.execute(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}")
        migrate(running.build_conninfo(dbname=TEMPLATE), MIGRATIONS)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def fresh_database(server: PostgresHandle) -> FreshDatabase:
    """Return a database on it."""
    return server.make_fresh_database()


@pytest.fixture
def settings(emulator: EmulatorHandle, fresh_database: FreshDatabase) -> Iterator[Settings]:
    """Settings that lead to all of it; AWS is the emulator."""
    with use_aws_at(emulator.url):
        yield fresh_database.settings.model_copy(update=make_resources())


def run_deep_check(client: ApiClient) -> dict[str, Any]:
    """Run a deep check; the time that an environment needs to start does not count."""
    container = client.container
    assert isinstance(container, HealthContainer)
    container.check._last_result = None
    began = monotonic()
    report = container.check.run().findings
    assert monotonic() - began < CHECK_S + SLACK_S
    return dict(json.loads(report.model_dump_json()))


def list_unhealthy(report: dict[str, Any]) -> dict[str, str]:
    """Return the checks that are not healthy."""
    return {name: check["status"] for name, check in report["checks"].items() if check["status"] != "healthy"}


def test_a_healthy_service_reports_every_check(settings: Settings) -> None:
    """Through the function itself: every service answered, and the database is a writer with a name of its own."""
    reply = make_health_client(settings).call("GET", "/health/deep")
    assert (reply.status, reply.json["status"]) == (200, "healthy"), reply.body
    database = reply.json["checks"]["database"]
    assert (database["role"], len(database["server"])) == ("writer", 12)
    assert (database["connections"]["max"], database["failover"]["detected"]) == (50, False)
    assert reply.json["jobs"] == NO_JOBS
    assert reply.json["transaction_retries"] == {"last_minute": 0}


def test_a_schema_older_than_the_release_is_unhealthy(settings: Settings, fresh_database: FreshDatabase) -> None:
    """A migration that is not applied is counted, and whoever asks gets a 503."""
    [newest] = fresh_database.query_rows(
        "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations) RETURNING *"
    )
    try:
        reply = make_health_client(settings).call("GET", "/health/deep")
    finally:
        columns = ("version", "checksum", "applied_at")
        fresh_database.query_rows(
            "INSERT INTO schema_migrations (version, checksum, applied_at) VALUES (%s, %s, %s)",
            *(newest[name] for name in columns),
        )
    assert (reply.status, reply.json["status"]) == (503, "unhealthy")
    assert reply.json["checks"]["database"]["role"] == "writer"
    assert reply.json["checks"]["database"]["schema_version"]["missing"] == 1


def test_connections_of_all_roles_are_counted(settings: Settings, fresh_database: FreshDatabase) -> None:
    """All functions', those of the release before and the check's own among them, and nobody else's."""
    roles = (*FUNCTIONS.values(), BEFORE, "postgres")
    counted = len(set(FUNCTIONS.values()) - {OWNER}) + 2
    client = make_health_client(settings)
    with ExitStack() as connected:
        for role in roles:
            connected.enter_context(
                psycopg.connect(fresh_database.postgres.build_conninfo(user=role, dbname=fresh_database.name))
            )
        assert wait_until(lambda: read_used(client) == counted)
    assert wait_until(lambda: read_used(client) == 1)


def read_used(client: ApiClient) -> Any:
    return run_deep_check(client)["checks"]["database"]["connections"]["used"]


def wait_until(look: Callable[[], bool], within_s: float = 10.0) -> bool:
    """Return whether a condition comes true: the server takes a moment to end a session that was left."""
    until = monotonic() + within_s
    while not (seen := look()) and monotonic() < until:
        sleep(0.02)
    return seen


def test_jobs_are_counted_and_a_late_one_degrades(settings: Settings, fresh_database: FreshDatabase) -> None:
    """Pending and queued wait; failed and uncertain want a person."""
    states = {"pending": 3, "queued": 2, "running": 1, "done": 1, "failed": 2, "uncertain": 1}
    client = make_health_client(settings)
    for state, count in states.items():
        for _ in range(count):
            add_job(fresh_database, state)
    found = run_deep_check(client)
    assert found["jobs"].pop("oldest_pending_s") < 10.0
    assert found["jobs"] == {"pending": 5, "failed": 3, "held": 0, "oldest_held_s": 0.0}
    assert found["status"] == "healthy"
    add_job(fresh_database, "pending", age_s=400)
    late = run_deep_check(client)
    assert client.container.settings.mail_rate == 1, "the template's default"
    assert 400 <= late["jobs"]["oldest_pending_s"] < 460
    assert (late["status"], list_unhealthy(late)) == ("degraded", {"queue": "degraded"})
    fresh_database.query_rows("DELETE FROM outbox")


def test_jobs_that_wait_for_a_circuit_are_counted_with_their_age_from_when_they_were_written(
    settings: Settings, fresh_database: FreshDatabase
) -> None:
    """Being put off doesn't matter. Jobs that wait for another reason, or are on their way again, are not counted."""
    client = make_health_client(settings)
    for state, age_s, error in (
        ("pending", 90, "circuit-open"), ("pending", 30, "circuit-open"), ("pending", 100, "mail-rate"),
        ("queued", 100, "circuit-open"), ("done", 100, "circuit-open"),
    ):  # fmt: skip
        add_job(fresh_database, state, age_s=age_s)
        fresh_database.query_rows("UPDATE outbox SET last_error = %s WHERE last_error IS NULL", error)
    found = run_deep_check(client)["jobs"]
    assert (found["pending"], found["held"]) == (4, 2)
    assert 90 <= found["oldest_held_s"] < 100
    fresh_database.query_rows("DELETE FROM outbox")


MANY = 600  # more than leave within the margin of five minutes at one a second


def add_mails(
    fresh_database: FreshDatabase, count: int, *, priority: str, age_s: float, sent: int, last_error: str | None = None
) -> None:
    """Write `count` mails at one moment in the past; `sent` of them have left since, one in each second."""
    fresh_database.query_rows(
        """INSERT INTO outbox (id, kind, priority, subject_id, payload, state, last_error, created_at, updated_at)
           SELECT gen_random_uuid(), 'mail', %s, gen_random_uuid(), '{}',
                  CASE WHEN n <= %s THEN 'done' ELSE 'queued' END, %s,
                  now() - make_interval(secs => %s), now() - make_interval(secs => greatest(0, %s - n))
           FROM generate_series(1, %s) AS n""",
        priority, sent, last_error, age_s, age_s, count,
    )  # fmt: skip


@pytest.mark.parametrize("priority", ["high", "normal", "low"])
@pytest.mark.parametrize(
    ("rate", "sent", "status"),
    [(1.0, 500, "healthy"), (1.0, 100, "degraded"), (1.0, 0, "degraded"), (14.0, 500, "degraded")],
)
def test_more_mails_than_leave_in_five_minutes_are_late_only_where_they_do_not_leave_at_the_rate(
    settings: Settings, fresh_database: FreshDatabase, priority: str, rate: float, sent: int, status: str
) -> None:
    """They were written at once, and the last one's wait is what the rate makes of it; 1 is the deployed default."""
    client = make_health_client(settings.model_copy(update={"mail_rate": rate}))
    add_mails(fresh_database, MANY, priority=priority, age_s=500, sent=sent)
    found = run_deep_check(client)
    assert 500 <= found["jobs"]["oldest_pending_s"] < 560
    assert (found["status"], found["jobs"]["pending"]) == (status, MANY - sent)
    fresh_database.query_rows("DELETE FROM outbox")


NO_EXCUSES: dict[str, dict[str, Any]] = {
    "mails that wait for their turn after it": {"priority": "low", "sent": MANY},
    "mails that had left before": {"priority": "high", "sent": MANY, "age_s": 3_000},
    "reminders that were dropped": {"priority": "high", "sent": MANY, "last_error": "superseded"},
}


@pytest.mark.parametrize("others", NO_EXCUSES.values(), ids=NO_EXCUSES)
def test_only_mails_that_went_before_it_explain_the_wait_of_a_high_one(
    settings: Settings, fresh_database: FreshDatabase, others: dict[str, Any]
) -> None:
    """Two minutes are more than the relay can miss it."""
    add_mails(fresh_database, MANY, **{"age_s": 600, **others})
    add_mails(fresh_database, 1, priority="high", age_s=130, sent=0)
    assert list_unhealthy(run_deep_check(make_health_client(settings))) == {"queue": "degraded"}
    fresh_database.query_rows("DELETE FROM outbox")


def test_a_sign_in_does_not_wait_for_the_rate_of_mails(settings: Settings, fresh_database: FreshDatabase) -> None:
    """Only mails wait for send slots, however many mails have left."""
    add_mails(fresh_database, MANY, priority="high", age_s=600, sent=MANY)
    fresh_database.query_rows(
        """INSERT INTO outbox (id, kind, priority, subject_id, payload, created_at)
           VALUES (gen_random_uuid(), 'identity', 'high', gen_random_uuid(), '{}', now() - interval '130 seconds')"""
    )
    assert list_unhealthy(run_deep_check(make_health_client(settings))) == {"queue": "degraded"}
    fresh_database.query_rows("DELETE FROM outbox")


def test_mails_that_were_refused_had_their_turn(settings: Settings, fresh_database: FreshDatabase) -> None:
    """A queue of wrong addresses is worked off as any other."""
    add_mails(fresh_database, MANY, priority="low", age_s=500, sent=500)
    fresh_database.query_rows(
        "UPDATE outbox SET state = 'failed', begun = true, last_error = 'MessageRejected' WHERE state = 'done'"
    )
    assert run_deep_check(make_health_client(settings))["status"] == "healthy"
    fresh_database.query_rows("DELETE FROM outbox")


@pytest.mark.parametrize("state", ["pending", "queued", "running"])
def test_a_job_that_is_put_off_again_and_again_is_late(
    settings: Settings, fresh_database: FreshDatabase, state: str
) -> None:
    """Its lateness counts from when it was written: each delay makes it due later."""
    add_job(fresh_database, state, age_s=1000, due_in="10 minutes")
    assert 1000 <= run_deep_check(make_health_client(settings))["jobs"]["oldest_pending_s"] < 1060
    fresh_database.query_rows("DELETE FROM outbox")


def test_a_job_that_a_person_has_done_again_waits_from_then_on(
    settings: Settings, fresh_database: FreshDatabase
) -> None:
    """Its failure a week ago is no lateness of the queue."""
    add_job(fresh_database, "failed", age_s=7 * 86400)
    [row] = fresh_database.query_rows("SELECT id FROM outbox")
    replay(fresh_database, row["id"])
    assert run_deep_check(make_health_client(settings))["jobs"]["oldest_pending_s"] < 10.0
    fresh_database.query_rows("DELETE FROM outbox")


def replay(fresh_database: FreshDatabase, job_id: UUID) -> None:
    """Have a job done again, as an admin does."""
    actor = Actor("admin-1", "request-1")
    fresh_database.make_database().run(lambda tx: service.replay_job(tx, job_id, actor=actor), make_deadline())


def test_a_high_job_that_fails_degrades_and_is_counted_until_it_is_done_again(
    settings: Settings, fresh_database: FreshDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker does it: refused for good, then lost on the way, then sent."""
    client, records, mailer = make_health_client(settings), RecordFixtures(fresh_database), FakeMailer()
    member = records.add_member()
    worker = JobRunner(
        fresh_database.make_database(), mailer, FakeIdentityProvider(), FakeJobQueues(),
        MailSettings("desk@example.test", "en", "https://app.example.test"), read_utc_now,
    )  # fmt: skip
    high = records.add_mail("member-welcome", member, to=member, priority="high")
    assert read_metrics(client, capsys, "Degraded", "JobsFailed", "JobsUncertain", "JobsHighUnsolved") == [0, 0, 0, 0]
    fresh_database.query_rows("UPDATE outbox SET created_at = created_at - interval '120 seconds'")
    by_priority = read_metrics(
        client, capsys, *(f"JobsOldestPendingSeconds{name}" for name in ("High", "Normal", "Low"))
    )
    assert 120 <= by_priority[0] < 180
    assert by_priority[1:] == [0, 0]
    mailer.answer = make_failing(RequestRejected("MessageRejected"))
    assert worker.run_job(high, make_deadline(60)) == "failed"
    assert read_metrics(client, capsys, "Degraded", "JobsFailed", "JobsUncertain", "JobsHighUnsolved") == [1, 1, 0, 1]
    assert list_unhealthy(run_deep_check(client)) == {"queue": "degraded"}
    replay(fresh_database, high)
    mailer.answer = make_failing(OutcomeUnknown("ReadTimeoutError"))
    assert worker.run_job(high, make_deadline(60)) == "uncertain"
    assert read_metrics(client, capsys, "Degraded", "JobsFailed", "JobsUncertain", "JobsHighUnsolved") == [1, 0, 1, 1]
    replay(fresh_database, high)
    mailer.answer = lambda _mail: None
    assert worker.run_job(high, make_deadline(60)) == "done"
    assert read_metrics(client, capsys, "Degraded", "JobsFailed", "JobsUncertain", "JobsHighUnsolved") == [0, 0, 0, 0]
    fresh_database.query_rows("DELETE FROM outbox")


@pytest.mark.parametrize("state", ["failed", "uncertain"])
def test_a_high_job_that_is_dismissed_degrades_and_counts_no_more(
    settings: Settings, fresh_database: FreshDatabase, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    """A job that can't be done again must not hide what else goes wrong."""
    client, records = make_health_client(settings), RecordFixtures(fresh_database)
    member = records.add_member()
    high = records.add_mail("member-welcome", member, to=member, priority="high", state=state)
    names = ("Degraded", "JobsFailed", "JobsUncertain", "JobsHighUnsolved")
    assert read_metrics(client, capsys, *names) == [1, state == "failed", state == "uncertain", 1]
    actor = Actor("admin-1", "request-1")
    fresh_database.make_database().run(
        lambda tx: service.dismiss_job(tx, high, "undeliverable", actor=actor), make_deadline()
    )
    assert read_metrics(client, capsys, *names) == [0, 0, 0, 0]
    assert run_deep_check(client)["jobs"] == NO_JOBS
    fresh_database.query_rows("DELETE FROM outbox")


def test_a_low_job_that_fails_is_counted_and_degrades_nothing(
    settings: Settings, fresh_database: FreshDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    """One mail that nobody can deliver must not hide what else goes wrong."""
    client = make_health_client(settings)
    add_job(fresh_database, "failed")
    assert read_metrics(client, capsys, "Degraded", "JobsFailed", "JobsHighUnsolved") == [0, 1, 0]
    fresh_database.query_rows("DELETE FROM outbox")


def test_an_open_circuit_is_a_metric_of_its_service(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """The metric is that service's alone, and ends when the circuit is closed."""
    client, names = make_health_client(settings), ("CircuitOpenEmail", "CircuitOpenIdentity", "CircuitOpenStorage")
    store, policy = client.container.circuit_store, client.container.settings.find_circuit_policy("email")
    assert read_metrics(client, capsys, *names) == [0, 0, 0]
    force_circuit(store, policy, "open", read_epoch_micros())
    assert read_metrics(client, capsys, *names) == [1, 0, 0]
    force_circuit(store, policy, "closed", read_epoch_micros())
    assert read_metrics(client, capsys, *names) == [0, 0, 0]


def read_metrics(client: ApiClient, capsys: pytest.CaptureFixture[str], *names: str) -> list[float]:
    """Return the metrics of these names that a run of the schedule leaves, whose check is not a kept one."""
    container = client.container
    assert isinstance(container, HealthContainer)
    container.check._last_result = None
    capsys.readouterr()
    publish_report(container)
    [document] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    return [document[name][0] for name in names]


def make_failing(error: Exception) -> Callable[[Mail], None]:
    """Return a mailer's answer that is this failure."""

    def answer(_mail: Mail) -> None:
        raise error

    return answer


def add_job(fresh_database: FreshDatabase, state: str, *, age_s: float = 0.0, due_in: str = "0 seconds") -> None:
    """Write a low job that is `age_s` old."""
    fresh_database.query_rows(
        "INSERT INTO outbox (id, kind, priority, subject_id, payload, state, created_at, available_at)"
        " VALUES (%s, 'mail', 'low', %s, '{}', %s, now() - %s * interval '1 s', now() + %s::interval)",
        uuid4(),
        uuid4(),
        state,
        age_s,
        due_in,
    )


def test_a_stopped_server_is_unhealthy_in_time_and_well_again_when_it_goes_on(
    settings: Settings, server: PostgresHandle
) -> None:
    """It takes connections and says nothing; the services' results are still reported."""
    client = make_health_client(settings)
    assert run_deep_check(client)["status"] == "healthy"
    with stop_server(server):
        sick = [run_deep_check(client) for _ in range(2)]
    assert [(report["status"], list_unhealthy(report)) for report in sick] == [
        ("unhealthy", {"database": "unhealthy"})
    ] * 2
    assert (sick[0]["checks"]["database"]["role"], sick[0]["jobs"]["pending"]) == (None, None)
    assert wait_until(lambda: run_deep_check(client)["status"] == "healthy")


def test_a_server_that_stops_answering_in_the_middle_leaves_nothing_behind(
    settings: Settings, fresh_database: FreshDatabase
) -> None:
    """A question that is never answered is cut: its connection and thread end, and none are added by asking again."""
    proxy = fresh_database.postgres.proxy
    proxy.cut_all()  # a connection of an earlier test lives until its objects are collected
    client = make_health_client(settings)
    with lock_row(fresh_database, "outbox"):
        reports = [run_deep_check(client) for _ in range(3)]
        assert {report["status"] for report in reports} == {"unhealthy"}
        assert wait_until(
            lambda: "health-query-database" not in {thread.name for thread in threading.enumerate()}, CUT_S
        )
    assert wait_until(lambda: run_deep_check(client)["status"] == "healthy")
    assert wait_until(lambda: (proxy.counts.clients, list_busy(fresh_database)) == (0, []))


@contextmanager
def lock_row(fresh_database: FreshDatabase, table: str) -> Iterator[None]:
    conninfo = fresh_database.postgres.build_conninfo(user="postgres", dbname=fresh_database.name)
    with psycopg.connect(conninfo) as connection:
        connection.execute(f"LOCK TABLE {table}".encode())
        yield


def list_busy(fresh_database: FreshDatabase) -> list[dict[str, Any]]:
    """Sessions that do not wait in the proxy for the next client."""
    return fresh_database.query_rows(
        f"SELECT state FROM pg_stat_activity WHERE {SESSION_OF_A_FUNCTION} AND state <> 'idle'"
    )


def test_a_reader_is_unhealthy(settings: Settings, fresh_database: FreshDatabase) -> None:
    """It answers but takes no writes."""
    fresh_database.change_role("default_transaction_read_only = on")
    try:
        reply = make_health_client(settings).call("GET", "/health/deep")
    finally:
        fresh_database.reset_role()
    assert (reply.status, reply.json["status"], reply.json["checks"]["database"]["role"]) == (
        503,
        "unhealthy",
        "reader",
    )


def test_no_database_at_all_is_unhealthy_and_the_answer_gives_no_details(
    settings: Settings, server: PostgresHandle
) -> None:
    """It names neither host nor role nor the driver's message."""
    nowhere = settings.model_copy(update={"db_name": "no_such_database"})
    reply = make_health_client(nowhere).call("GET", "/health/deep")
    assert (reply.status, reply.headers["Content-Type"]) == (503, "application/json")
    for word in ("no_such_database", "127.0.0.1", str(server.server.port), "interdomestik", "Error", "does not exist"):
        assert word not in reply.body


def test_aws_that_never_answers_degrades_in_time(settings: Settings) -> None:
    """Work is still taken: the database is there. The limit soon lets the caller through."""
    with open_unresponsive_port() as url, use_aws_at(url):
        report = run_deep_check(make_health_client(settings))
        assert (report["status"], set(list_unhealthy(report))) == ("degraded", set(SERVICES))
        assert all(check["latency_ms"] < CHECK_S * 1000 for check in report["checks"].values())
        client = make_health_client(settings)
        assert isinstance(client.container, HealthContainer)
        assert client.container.check is not None  # built, as in an environment that has answered before
        began = monotonic()
        assert reply_of(client).status == 200
        assert monotonic() - began < 2 * CHECK_S


def reply_of(client: ApiClient) -> ApiReply:
    return client.call("GET", "/health/deep")


def test_a_throttled_state_store_degrades_and_stops_nothing(settings: Settings, emulator: EmulatorHandle) -> None:
    """It is asked once for the limit and once for what it knows, and nothing is tried again."""
    with run_throttling_server() as (url, asked), use_aws_at(emulator.url, DYNAMODB=url):
        reply = reply_of(make_health_client(settings))
    assert (reply.status, reply.json["status"], list_unhealthy(reply.json)) == (
        200,
        "degraded",
        {"state_store": "unhealthy"},
    )
    assert reply.json["transaction_retries"] == {"last_minute": None}
    assert asked == ["UpdateItem", "BatchGetItem"]


def test_a_missing_bucket_queue_or_pool_degrades(settings: Settings) -> None:
    """AWS answers, but the service can't use it."""
    lost = {"evidence_bucket": "no-such-bucket", "user_pool_id": "eu-central-1_nowhere"}
    report = run_deep_check(make_health_client(settings.model_copy(update=lost)))
    assert (report["status"], list_unhealthy(report)) == ("degraded", {"storage": "unhealthy", "identity": "unhealthy"})


def test_an_open_circuit_degrades_and_says_since_when(settings: Settings, emulator: EmulatorHandle) -> None:
    """The report shows what the fleet has in the table."""
    item: dict[str, Any] = {"pk": {"S": "circuit#email"}, "state": {"S": "open"}, "since": {"N": "1795500000000000"}}
    make_client(emulator.url).put_item(TableName=settings.state_table, Item=item)
    report = run_deep_check(make_health_client(settings))
    assert (report["status"], list_unhealthy(report)) == ("degraded", {"email": "degraded"})
    email = report["checks"]["email"]
    assert (email["circuit"], email["since"]) == ("open", "2026-11-24T06:00:00Z")


def test_an_answer_is_kept_so_that_many_callers_cost_one_check(
    settings: Settings, fresh_database: FreshDatabase
) -> None:
    """Ten callers of one environment within five seconds: one visit to the database."""
    client = make_health_client(settings)
    client.container.clock = ManualClock(read_utc_now())
    bodies = [reply_of(client).json for _ in range(10)]
    assert len({(body["checked_at"], json.dumps(body["checks"])) for body in bodies}) == 1


def test_a_failover_is_seen_by_the_fleet_once(
    settings: Settings, server: PostgresHandle, emulator: EmulatorHandle, tmp_path: Path
) -> None:
    """A standby takes over: as a reader it is unhealthy, as the writer another server, for all who look."""
    before = run_deep_check(make_health_client(settings))["checks"]["database"]
    with start_standby(server, tmp_path) as standby:
        there = settings.model_copy(update={"db_port": standby.server.port, "db_sslmode": "disable"})
        following = run_deep_check(make_health_client(there))
        assert (following["status"], following["checks"]["database"]["role"]) == ("unhealthy", "reader")
        standby.execute("SELECT pg_promote()")
        first, second = make_health_client(there), make_health_client(there)
        promoted = run_deep_check(first)["checks"]["database"]
        assert (promoted["role"], promoted["failover"]["detected"]) == ("writer", True)
        assert promoted["server"] not in (before["server"], None)
        assert run_deep_check(second)["checks"]["database"]["failover"] == promoted["failover"]
    seen = SharedStateStore(make_client(emulator.url), settings.state_table).read([]).server
    assert seen is not None
    assert seen.server == promoted["server"]
