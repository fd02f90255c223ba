"""What the answers of the probes mean: healthy, degraded, unhealthy."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from health.deep_check import SERVICES, STATE_STORE
from shared.aws.dynamodb_shared_state import CircuitStatus, LastWriter
from tests.unit.health.reports import FLEET, JOBS, WRITER, World

SINCE = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
NOTHING_WAITS, NOTHING_SENT = dict.fromkeys(JOBS.oldest_s, 0.0), dict.fromkeys(JOBS.sent, 0)
BROKEN = RuntimeError("broken")


@pytest.fixture
def world() -> World:
    return World()


def findings(world: World) -> dict[str, Any]:
    return world.check.run().findings.model_dump()


def test_all_well_is_healthy_and_says_what_it_saw(world: World) -> None:
    """The figures are those that were found."""
    found = findings(world)
    assert (found["status"], found["version"], found["checked_at"]) == ("healthy", "v1", world.clock())
    assert found["checks"]["database"] == {
        "status": "healthy",
        "latency_ms": 10.0,
        "role": "writer",
        "server": "a1",
        "connections": {"used": 7, "max": 50},
        "failover": {"detected": False, "at": None},
    }
    assert {tuple(found["checks"][name].values()) for name in SERVICES} == {("healthy", 10.0, "closed", None)}
    assert found["jobs"] == {"pending": 2, "oldest_pending_s": 4.0, "failed": 1}
    assert found["transaction_retries"] == {"last_minute": 3}


@pytest.mark.parametrize(("used", "status"), [(44, "healthy"), (45, "degraded"), (50, "degraded"), (66, "degraded")])
def test_nine_tenths_of_the_connections_used_is_degraded(world: World, used: int, status: str) -> None:
    """The next burst of calls would have to wait for a connection; until then all work is taken."""
    world.found["database"] = replace(WRITER, used=used)
    found = findings(world)
    assert (found["status"], found["checks"]["database"]["status"]) == (status, status)
    assert found["checks"]["database"]["connections"] == {"used": used, "max": 50}


@pytest.mark.parametrize(
    ("answer", "role", "server", "pending"),
    [(BROKEN, None, None, None), (replace(WRITER, writable=False), "reader", "a1", 2)],
)
def test_without_a_writable_database_it_is_unhealthy(
    world: World, answer: Any, role: str | None, server: str | None, pending: int | None
) -> None:
    """Out of reach, or a reader: no work can be taken. What is not known is null."""
    world.found["database"] = answer
    found = findings(world)
    database = found["checks"]["database"]
    assert (found["status"], database["status"]) == ("unhealthy", "unhealthy")
    assert (database["role"], database["server"], found["jobs"]["pending"]) == (role, server, pending)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_fails_degrades(world: World, name: str) -> None:
    """Work is still taken: what needs the service waits in the outbox."""
    world.found[name] = BROKEN
    found = findings(world)
    assert found["status"] == "degraded"
    assert {n: c["status"] for n, c in found["checks"].items() if c["status"] != "healthy"} == {name: "unhealthy"}


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(("state", "status"), [("open", "degraded"), ("half_open", "degraded"), ("closed", "healthy")])
def test_a_circuit_that_is_not_closed_degrades(world: World, name: str, state: Any, status: str) -> None:
    """Also where the service itself would answer: nobody asks it for work."""
    world.found[STATE_STORE] = replace(FLEET, circuits={name: CircuitStatus(state, SINCE)})
    found = findings(world)
    check = found["checks"][name]
    assert (found["status"], check["status"], check["circuit"], check["since"]) == (status, status, state, SINCE)


@pytest.mark.parametrize("name", ["database", *SERVICES])
def test_an_answer_that_takes_long_degrades(world: World, name: str) -> None:
    """Each has its threshold; nobody waits that long for an answer while all is well."""
    world.slow[name] = 1.2
    found = findings(world)
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
def test_a_queue_that_is_late_degrades(world: World, priority: str, oldest_s: float, sent: int, status: str) -> None:
    """A job has waited for longer than the relay could have missed it, and the mails before it do not explain it."""
    jobs = replace(JOBS, oldest_s={**NOTHING_WAITS, priority: oldest_s}, sent={**NOTHING_SENT, priority: sent})
    world.found["database"] = replace(WRITER, jobs=jobs)
    found = findings(world)
    assert (found["status"], found["checks"]["queue"]["status"]) == (status, status)
    assert {found["checks"][name]["status"] for name in SERVICES if name != "queue"} == {"healthy"}


@pytest.mark.parametrize(("unsolved", "status"), [(0, "healthy"), (1, "degraded")])
def test_a_high_job_that_waits_for_a_person_degrades(world: World, unsolved: int, status: str) -> None:
    """Somebody can't sign in; others that failed are for their metric alone."""
    world.found["database"] = replace(WRITER, jobs=replace(JOBS, failed=7, uncertain=2, high_unsolved=unsolved))
    found = findings(world)
    assert (found["status"], found["checks"]["queue"]["status"], found["jobs"]["failed"]) == (status, status, 9)


def test_while_the_table_is_gone_the_last_known_circuits_count(world: World) -> None:
    """An open circuit is open until somebody has closed it; how often the fleet retries is not known."""
    world.found[STATE_STORE] = replace(FLEET, circuits={"email": CircuitStatus("open", SINCE)})
    findings(world)
    world.clock.advance(60)
    world.found[STATE_STORE] = BROKEN
    found = findings(world)
    assert (found["checks"]["email"]["circuit"], found["checks"]["email"]["status"]) == ("open", "degraded")
    assert found["transaction_retries"] == {"last_minute": None}


def test_another_writer_is_a_failover_told_once_and_shown_for_a_while(world: World) -> None:
    """The fleet's first to see it tells the table; five minutes later it is history, with its time."""
    world.found["database"] = replace(WRITER, server="b2")
    checked, at = world.check.run(), world.clock()
    assert checked.failed_over
    assert checked.findings.checks.database.failover.model_dump() == {"detected": True, "at": at}
    assert world.noted == [(LastWriter("a1", None), LastWriter("b2", at))]
    assert not world.check.run().failed_over
    world.found[STATE_STORE] = replace(FLEET, server=LastWriter("b2", at))
    world.clock.advance(299)
    again = world.check.run()
    assert (again.failed_over, again.findings.checks.database.failover.detected) == (False, True)
    world.clock.advance(2 + 5)
    assert world.check.run().findings.checks.database.failover.model_dump() == {"detected": False, "at": at}
    assert len(world.noted) == 1


def test_a_failover_that_another_saw_first_is_theirs_to_count(world: World) -> None:
    """It is shown all the same."""
    world.first_to_note = False
    world.found["database"] = replace(WRITER, server="b2")
    checked = world.check.run()
    assert (checked.failed_over, checked.findings.checks.database.failover.detected) == (False, True)


def test_the_first_writer_ever_is_no_failover(world: World) -> None:
    """There was none before it."""
    world.found[STATE_STORE] = replace(FLEET, server=None)
    checked = world.check.run()
    assert (checked.failed_over, checked.findings.checks.database.failover.detected) == (False, False)
    assert world.noted == [(None, LastWriter("a1", None))]


def test_a_reader_is_no_failover(world: World) -> None:
    """A demoted writer answers until the new one is found: that one is the failover."""
    world.found["database"] = replace(WRITER, server="b2", writable=False)
    checked = world.check.run()
    assert (checked.failed_over, world.noted) == (False, [])


def test_nothing_is_written_while_the_table_does_not_answer(world: World) -> None:
    """The change is seen here, and told when the table is back."""
    world.check.run()
    world.clock.advance(60)
    world.found |= {"database": replace(WRITER, server="b2"), STATE_STORE: BROKEN}
    checked = world.check.run()
    assert (checked.failed_over, world.noted) == (False, [])
    assert checked.findings.checks.database.failover.detected
    world.clock.advance(60)
    world.found[STATE_STORE] = FLEET
    assert world.check.run().failed_over
    assert len(world.noted) == 1


def test_an_answer_is_kept_for_a_few_seconds(world: World) -> None:
    """However many ask, the services are asked once; then again."""
    first = world.check.run()
    with ThreadPoolExecutor(8) as pool:
        kept = [future.result().findings for future in [pool.submit(world.check.run) for _ in range(40)]]
    assert (world.asked, kept) == (1, [first.findings] * 40)
    world.clock.advance(5)
    world.check.run()
    assert world.asked == 2


def test_of_many_at_once_one_asks(world: World) -> None:
    """The others wait for its answer."""
    with ThreadPoolExecutor(20) as pool:
        found = [future.result().findings for future in [pool.submit(world.check.run) for _ in range(20)]]
    assert (world.asked, found) == (1, [found[0]] * 20)
