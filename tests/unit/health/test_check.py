"""Health by the results of its queries: healthy, degraded, unhealthy."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from health.deep_check import SERVICES, STATE_STORE
from shared.aws.dynamodb_shared_state import CircuitStatus, LastWriter
from shared.database.schema_version import SchemaVersion
from tests.unit.health.reports import FLEET, JOBS, WRITER, ScriptedDependencies

SINCE = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
NOTHING_WAITS, NOTHING_SENT = dict.fromkeys(JOBS.oldest_s, 0.0), dict.fromkeys(JOBS.sent, 0)
BROKEN = RuntimeError("broken")


@pytest.fixture
def dependencies() -> ScriptedDependencies:
    return ScriptedDependencies()


def run_check(dependencies: ScriptedDependencies) -> dict[str, Any]:
    return dependencies.check.run().findings.model_dump()


def test_all_well_is_healthy_and_says_what_it_saw(dependencies: ScriptedDependencies) -> None:
    """The figures are those that were found."""
    found = run_check(dependencies)
    assert (found["status"], found["version"], found["checked_at"]) == ("healthy", "v1", dependencies.clock())
    assert found["checks"]["database"] == {
        "status": "healthy",
        "latency_ms": 10.0,
        "role": "writer",
        "server": "a1",
        "schema_version": {"newest": "0002_claims", "missing": 0},
        "connections": {"used": 7, "max": 50},
        "failover": {"detected": False, "at": None},
    }
    assert {tuple(found["checks"][name].values()) for name in SERVICES} == {("healthy", 10.0, "closed", None)}
    assert found["jobs"] == {"pending": 2, "oldest_pending_s": 4.0, "failed": 1, "held": 1, "oldest_held_s": 3.5}
    assert found["transaction_retries"] == {"last_minute": 3}


@pytest.mark.parametrize(("used", "status"), [(44, "healthy"), (45, "degraded"), (50, "degraded"), (66, "degraded")])
def test_nine_tenths_of_the_connections_used_is_degraded(
    dependencies: ScriptedDependencies, used: int, status: str
) -> None:
    """The next burst of calls would have to wait for a connection; until then all work is taken."""
    dependencies.found["database"] = replace(WRITER, used=used)
    found = run_check(dependencies)
    assert (found["status"], found["checks"]["database"]["status"]) == (status, status)
    assert found["checks"]["database"]["connections"] == {"used": used, "max": 50}


def test_a_schema_older_than_the_release_is_unhealthy(dependencies: ScriptedDependencies) -> None:
    """Some statements of this release can't be run on it."""
    dependencies.found["database"] = replace(WRITER, schema=SchemaVersion("0001_people", missing=("0002_claims",)))
    found = run_check(dependencies)
    assert (found["status"], found["checks"]["database"]["status"]) == ("unhealthy", "unhealthy")
    assert found["checks"]["database"]["schema_version"] == {"newest": "0001_people", "missing": 1}


@pytest.mark.parametrize(
    ("answer", "role", "server", "pending"),
    [(BROKEN, None, None, None), (replace(WRITER, writable=False), "reader", "a1", 2)],
)
def test_without_a_writable_database_it_is_unhealthy(
    dependencies: ScriptedDependencies, answer: Any, role: str | None, server: str | None, pending: int | None
) -> None:
    """Out of reach, or a reader: no work can be taken. What is not known is null."""
    dependencies.found["database"] = answer
    found = run_check(dependencies)
    database = found["checks"]["database"]
    assert (found["status"], database["status"]) == ("unhealthy", "unhealthy")
    assert (database["role"], database["server"], found["jobs"]["pending"]) == (role, server, pending)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_fails_degrades(dependencies: ScriptedDependencies, name: str) -> None:
    """Work is still taken: what needs the service waits in the outbox."""
    dependencies.found[name] = BROKEN
    found = run_check(dependencies)
    assert found["status"] == "degraded"
    assert {n: c["status"] for n, c in found["checks"].items() if c["status"] != "healthy"} == {name: "unhealthy"}


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(("state", "status"), [("open", "degraded"), ("half_open", "degraded"), ("closed", "healthy")])
def test_a_circuit_that_is_not_closed_degrades(
    dependencies: ScriptedDependencies, name: str, state: Any, status: str
) -> None:
    """It does even if the service itself would answer, since nobody asks it for work."""
    dependencies.found[STATE_STORE] = replace(FLEET, circuits={name: CircuitStatus(state, SINCE)})
    found = run_check(dependencies)
    check = found["checks"][name]
    assert (found["status"], check["status"], check["circuit"], check["since"]) == (status, status, state, SINCE)


@pytest.mark.parametrize("name", ["database", *SERVICES])
def test_an_answer_that_takes_long_degrades(dependencies: ScriptedDependencies, name: str) -> None:
    """Each has its threshold; nobody waits that long for an answer while all is well."""
    dependencies.slow[name] = 1.2
    found = run_check(dependencies)
    assert (found["status"], found["checks"][name]["status"]) == ("degraded", "degraded")
    assert found["checks"][name]["latency_ms"] == 1200.0


LATE = [
    ("low", 300.0, 0, "healthy"),
    ("low", 300.1, 0, "degraded"),
    ("low", 900.0, 900, "healthy"),
    ("low", 900.0, 400, "degraded"),
    ("high", 120.0, 0, "healthy"),
    ("high", 120.1, 0, "degraded"),
    ("normal", 0.0, 0, "healthy"),
]


@pytest.mark.parametrize(("priority", "oldest_s", "sent", "status"), LATE)
def test_a_queue_that_is_late_degrades(
    dependencies: ScriptedDependencies, priority: str, oldest_s: float, sent: int, status: str
) -> None:
    """A job has waited for longer than the relay could have missed it, and the mails before it do not explain it."""
    jobs = replace(JOBS, oldest_s={**NOTHING_WAITS, priority: oldest_s}, sent={**NOTHING_SENT, priority: sent})
    dependencies.found["database"] = replace(WRITER, jobs=jobs)
    found = run_check(dependencies)
    assert (found["status"], found["checks"]["queue"]["status"]) == (status, status)
    assert {found["checks"][name]["status"] for name in SERVICES if name != "queue"} == {"healthy"}


@pytest.mark.parametrize(("unsolved", "status"), [(0, "healthy"), (1, "degraded")])
def test_a_high_job_that_waits_for_a_person_degrades(
    dependencies: ScriptedDependencies, unsolved: int, status: str
) -> None:
    """Somebody can't sign in; others that failed are for their metric alone."""
    dependencies.found["database"] = replace(WRITER, jobs=replace(JOBS, failed=7, uncertain=2, high_unsolved=unsolved))
    found = run_check(dependencies)
    assert (found["status"], found["checks"]["queue"]["status"], found["jobs"]["failed"]) == (status, status, 9)


def test_while_the_table_is_gone_the_last_known_circuits_count(dependencies: ScriptedDependencies) -> None:
    """An open circuit is open until somebody has closed it; how often the fleet retries is not known."""
    dependencies.found[STATE_STORE] = replace(FLEET, circuits={"email": CircuitStatus("open", SINCE)})
    run_check(dependencies)
    dependencies.clock.advance(60)
    dependencies.found[STATE_STORE] = BROKEN
    found = run_check(dependencies)
    assert (found["checks"]["email"]["circuit"], found["checks"]["email"]["status"]) == ("open", "degraded")
    assert found["transaction_retries"] == {"last_minute": None}


def test_another_writer_is_a_failover_reported_once_and_shown_for_a_while(dependencies: ScriptedDependencies) -> None:
    """The first environment to see it writes it to the table; five minutes later it is history, with its time."""
    dependencies.found["database"] = replace(WRITER, server="b2")
    checked, at = dependencies.check.run(), dependencies.clock()
    assert checked.failed_over
    assert checked.findings.checks.database.failover.model_dump() == {"detected": True, "at": at}
    assert dependencies.noted == [(LastWriter("a1", None), LastWriter("b2", at))]
    assert not dependencies.check.run().failed_over
    dependencies.found[STATE_STORE] = replace(FLEET, server=LastWriter("b2", at))
    dependencies.clock.advance(299)
    again = dependencies.check.run()
    assert (again.failed_over, again.findings.checks.database.failover.detected) == (False, True)
    dependencies.clock.advance(2 + 5)
    assert dependencies.check.run().findings.checks.database.failover.model_dump() == {"detected": False, "at": at}
    assert len(dependencies.noted) == 1


def test_a_failover_that_another_saw_first_is_theirs_to_count(dependencies: ScriptedDependencies) -> None:
    """It is shown all the same."""
    dependencies.first_to_note = False
    dependencies.found["database"] = replace(WRITER, server="b2")
    checked = dependencies.check.run()
    assert (checked.failed_over, checked.findings.checks.database.failover.detected) == (False, True)


def test_the_first_writer_ever_is_no_failover(dependencies: ScriptedDependencies) -> None:
    """There was none before it."""
    dependencies.found[STATE_STORE] = replace(FLEET, server=None)
    checked = dependencies.check.run()
    assert (checked.failed_over, checked.findings.checks.database.failover.detected) == (False, False)
    assert dependencies.noted == [(None, LastWriter("a1", None))]


def test_a_reader_is_no_failover(dependencies: ScriptedDependencies) -> None:
    """A demoted writer answers until the new one is found: that one is the failover."""
    dependencies.found["database"] = replace(WRITER, server="b2", writable=False)
    checked = dependencies.check.run()
    assert (checked.failed_over, dependencies.noted) == (False, [])


def test_nothing_is_written_while_the_table_does_not_answer(dependencies: ScriptedDependencies) -> None:
    """The change is seen here, and written when the table is back."""
    dependencies.check.run()
    dependencies.clock.advance(60)
    dependencies.found |= {"database": replace(WRITER, server="b2"), STATE_STORE: BROKEN}
    checked = dependencies.check.run()
    assert (checked.failed_over, dependencies.noted) == (False, [])
    assert checked.findings.checks.database.failover.detected
    dependencies.clock.advance(60)
    dependencies.found[STATE_STORE] = FLEET
    assert dependencies.check.run().failed_over
    assert len(dependencies.noted) == 1


def test_an_answer_is_kept_for_a_few_seconds(dependencies: ScriptedDependencies) -> None:
    """The services are asked once, however many callers there are; then again."""
    first = dependencies.check.run()
    with ThreadPoolExecutor(8) as pool:
        kept = [future.result().findings for future in [pool.submit(dependencies.check.run) for _ in range(40)]]
    assert (dependencies.asked, kept) == (1, [first.findings] * 40)
    dependencies.clock.advance(5)
    dependencies.check.run()
    assert dependencies.asked == 2


def test_of_many_at_once_one_asks(dependencies: ScriptedDependencies) -> None:
    """The others wait for its answer."""
    with ThreadPoolExecutor(20) as pool:
        found = [future.result().findings for future in [pool.submit(dependencies.check.run) for _ in range(20)]]
    assert (dependencies.asked, found) == (1, [found[0]] * 20)
