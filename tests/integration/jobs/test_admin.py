"""Operators' commands, on real PostgreSQL."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from operations import app as admin
from operations.errors import CommandError
from shared.circuit.state import CircuitSnapshot, FailureBucket, open_circuit, replace_bucket
from shared.clock import read_epoch_micros, read_utc_now
from shared.container import get_container
from shared.settings import Settings
from shared.units import SECOND
from tests.api_client import LambdaContext
from tests.databases import MIGRATIONS, FreshDatabase, PostgresHandle
from tests.fakes.circuits import InMemoryCircuitStore
from tests.fakes.queues import FakeJobQueues
from tests.integration.jobs.records import RecordFixtures

NEW = {"command": "create-staff", "email": "Ana@Example.test", "full_name": "Ana", "role": "staff", "language": "mk"}


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            {},
            "unknown command; there are: migrate, create-staff, remove-staff, free-address, circuits, force-circuit, "
            "reconcile-restore",
        ),
        ({"command": "drop"}, "unknown command"),
        ({"command": ["migrate"]}, "unknown command"),
        ({"command": "migrate", "force": True}, "force"),
        ({k: v for k, v in NEW.items() if k != "language"}, "language"),
        (NEW | {"role": "member"}, "role"),
        (NEW | {"email": "ana"}, "email"),
        ({"command": "remove-staff"}, "email"),
        ({"command": "free-address", "email": "ana"}, "email"),
        ({"command": "force-circuit", "name": "email"}, "state"),
        ({"command": "force-circuit", "name": "database", "state": "open"}, "name"),
        ({"command": "force-circuit", "name": "email", "state": "half_open"}, "state"),
        ({"command": "reconcile-restore"}, "restored_to"),
        (
            {"command": "reconcile-restore", "restored_to": "2026-11-26T21:30:00"},
            "restored_to must be a time with its zone",
        ),
    ],
)
def test_a_command_that_is_wrong_says_what_is(event: dict[str, Any], words: str) -> None:
    """It does not quote the input, since the error is printed."""
    with pytest.raises(CommandError, match=words) as refused:
        admin.handler(event, LambdaContext())
    assert "Ana" not in str(refused.value)
    assert "ana" not in str(refused.value)


def test_migrate_brings_a_database_up_to_date_and_says_what_it_did(
    postgres: PostgresHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs as the settings' role and may be repeated; functions' roles get the settings' number of connections."""
    postgres.execute("CREATE DATABASE to_migrate OWNER interdomestik")
    settings = {"DB_NAME": "to_migrate", "DB_USER": "interdomestik", "DB_PORT": str(postgres.server.port),
                "DB_AUTH": "trust", "DB_SSLMODE": "disable", "MIGRATIONS_DIR": os.fspath(MIGRATIONS),
                "DB_MAX_CONNECTIONS": "61"}  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    get_container.cache_clear()
    try:
        applied = admin.handler({"command": "migrate"}, LambdaContext())["applied"]
        assert applied == sorted(path.stem for path in MIGRATIONS.glob("*.sql"))
        assert list_audit(postgres, "to_migrate") == [
            ("schema.migrated", UUID(int=0), "operator", {"applied": applied})
        ]
        assert admin.handler({"command": "migrate"}, LambdaContext()) == {"applied": []}
        assert len(list_audit(postgres, "to_migrate")) == 1, "nothing was done"
        assert postgres.read_limits("to_migrate") == ({61}, 66)
    finally:
        get_container.cache_clear()
        postgres.drop_limits()


def list_audit(postgres: PostgresHandle, dbname: str) -> list[tuple[Any, ...]]:
    """Return who did what to which record, and in which request."""
    with psycopg.connect(postgres.build_conninfo(user="postgres", dbname=dbname)) as connection:
        rows = connection.execute("SELECT request_id, action, subject_id, actor, facts FROM audit").fetchall()
    assert {row[0] for row in rows} <= {LambdaContext().aws_request_id}
    return [tuple(row[1:]) for row in rows]


def test_a_forced_circuit_is_in_the_audit(
    postgres: PostgresHandle, store: InMemoryCircuitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry says who forced which circuit to what; reading the circuits leaves none."""
    fresh_database = postgres.make_fresh_database()
    monkeypatch.setattr(admin, "AUDIT_S", 5.0)
    monkeypatch.setitem(get_container().__dict__, "database", fresh_database.make_database())
    admin.handler({"command": "force-circuit", "name": "email", "state": "open"}, LambdaContext())
    admin.handler({"command": "circuits"}, LambdaContext())
    [(action, subject, actor, facts)] = list_audit(postgres, fresh_database.name)
    assert (action, subject, actor) == ("circuit.forced", UUID(int=0), "operator")
    assert (facts["circuit"], facts["state"], facts["generation"]) == ("email", "open", 1)
    assert store.read("email").state == "open"


def test_a_circuit_is_forced_while_the_database_is_out_of_reach(
    store: InMemoryCircuitStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The outage may be the reason for forcing it; the log has what the audit could not take."""
    answer = admin.handler({"command": "force-circuit", "name": "email", "state": "open"}, LambdaContext())
    assert store.read("email").state == "open"
    assert "audit_not_written" in caplog.messages
    assert (answer["circuits"]["email"]["held_jobs"], answer["released_jobs"]) == (None, None)


def test_a_database_out_of_reach_is_reported_in_libpqs_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """They name hosts and roles, as the log does, and no row."""
    monkeypatch.setenv("DB_PORT", "1")
    monkeypatch.setenv("DB_AUTH", "trust")
    monkeypatch.setenv("DB_SSLMODE", "disable")
    get_container.cache_clear()
    try:
        with pytest.raises(CommandError, match=r"^no connection to the database: connection failed"):
            admin.handler({"command": "migrate"}, LambdaContext())
    finally:
        get_container.cache_clear()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryCircuitStore]:
    """Yield the circuits, at the hands of the operators' function, which reaches no database by itself."""
    monkeypatch.setattr(admin, "AUDIT_S", 0.2)
    circuits = InMemoryCircuitStore()
    get_container.cache_clear()
    get_container().__dict__["circuit_store"] = circuits
    yield circuits
    get_container.cache_clear()


def test_operators_see_every_circuit(store: InMemoryCircuitStore) -> None:
    """Its state, since when, until when, and how many failures count by now."""
    policy, now = Settings().find_circuit_policy("email"), read_epoch_micros()
    store.change("email", CircuitSnapshot(), open_circuit(CircuitSnapshot(), policy, 1_795_000_000_000_000))
    old = now - round(policy.window_s * SECOND)
    store.change(
        "storage", CircuitSnapshot(), replace_bucket(CircuitSnapshot(), FailureBucket((old, now - 2, now - 1)))
    )
    circuits = admin.handler({"command": "circuits"}, LambdaContext())["circuits"]
    assert set(circuits) == {"email", "identity", "storage"}
    assert circuits["email"] == {
        "state": "open", "forced": False, "since": "2026-11-18T11:06:40Z", "probe_at": "2026-11-18T11:07:40Z",
        "failures": 0, "generation": 1, "held_jobs": None, "oldest_held_s": None, "held_until": None,
    }  # fmt: skip
    shown = circuits["storage"]
    assert (shown["state"], shown["since"], shown["failures"]) == ("closed", None, 2)
    assert circuits["identity"]["generation"] == 0


def test_operators_force_a_circuit_and_let_it_go(store: InMemoryCircuitStore) -> None:
    """A repeated command changes nothing."""

    def force_circuit(state: str) -> tuple[str, bool, int]:
        command = {"command": "force-circuit", "name": "email", "state": state}
        shown = admin.handler(command, LambdaContext())["circuits"]["email"]
        return shown["state"], shown["forced"], shown["generation"]

    assert [force_circuit("open"), force_circuit("open"), force_circuit("closed"), force_circuit("auto")] == [
        ("open", True, 1), ("open", True, 1), ("closed", True, 2), ("closed", False, 3),
    ]  # fmt: skip
    assert store.read("email").forced is False


@dataclass(frozen=True)
class HeldMails:
    """Mails that wait for their circuit, and what operators do about it."""

    fresh_database: FreshDatabase
    queues: FakeJobQueues
    records: RecordFixtures
    member: UUID

    def add(self, **columns: Any) -> UUID:
        """Add a mail that met the open circuit, a minute before it is tried again."""
        facts = {"last_error": "circuit-open", "created_at": "2026-11-01T12:00:00Z", **columns}
        job = self.records.add_mail("member-welcome", self.member, to=self.member, **facts)
        self.fresh_database.query_rows(
            "UPDATE outbox SET available_at = date_trunc('second', now()) + interval '60 s' WHERE id = %s", job
        )
        return job

    def is_due(self, job: UUID) -> bool:
        """Return whether the relay would take a job now."""
        [row] = self.fresh_database.query_rows("SELECT available_at <= now() AS due FROM outbox WHERE id = %s", job)
        return bool(row["due"])

    def force(self, state: str) -> tuple[dict[str, Any], int]:
        """Force the mails' circuit; return it, and how many jobs were let go."""
        answer = admin.handler({"command": "force-circuit", "name": "email", "state": state}, LambdaContext())
        return answer["circuits"]["email"], answer["released_jobs"]


@pytest.fixture
def held(postgres: PostgresHandle, store: InMemoryCircuitStore, monkeypatch: pytest.MonkeyPatch) -> HeldMails:
    """Return a database with a member, behind the operators' function."""
    fresh_database, queues = postgres.make_fresh_database(), FakeJobQueues()
    monkeypatch.setattr(admin, "AUDIT_S", 5.0)
    monkeypatch.setitem(get_container().__dict__, "database", fresh_database.make_database())
    monkeypatch.setitem(get_container().__dict__, "queues", queues)
    records = RecordFixtures(fresh_database)
    return HeldMails(fresh_database, queues, records, records.add_member(email="besa@example.test"))


@pytest.mark.parametrize(("to", "state"), [("closed", "closed"), ("auto", "open")])
def test_a_circuit_that_lets_calls_pass_again_lets_the_waiting_jobs_go(held: HeldMails, to: str, state: str) -> None:
    """They are due at once and the relay is woken; jobs that wait for something else stay as they are."""
    held.force("open")
    mails = [held.add(), held.add()]
    others = [held.add(last_error="mail-rate"), held.records.add_identity(held.member, last_error="circuit-open",
                                                                           available_at="2099-01-01")]  # fmt: skip
    circuit, released = held.force(to)
    assert (circuit["state"], circuit["held_jobs"], circuit["held_until"], released) == (state, 0, None, 2)
    assert [held.is_due(job) for job in (*mails, *others)] == [True, True, False, False]
    assert held.queues.wake_ups == [0]
    assert held.force(to)[1] == 0, "a repeated command finds nothing to release"
    assert held.queues.wake_ups == [0]


def test_a_relay_that_cannot_be_woken_is_said(held: HeldMails) -> None:
    """The jobs are due all the same, and the relay's schedule finds them."""
    held.force("open")
    job, held.queues.broken = held.add(), True
    answer = admin.handler({"command": "force-circuit", "name": "email", "state": "closed"}, LambdaContext())
    assert (answer["released_jobs"], answer["relay_woken"], held.is_due(job)) == (1, False, True)
    again = admin.handler({"command": "force-circuit", "name": "email", "state": "closed"}, LambdaContext())
    assert (again["released_jobs"], again["relay_woken"]) == (0, None), "there was nothing to wake it for"


def test_a_circuit_that_stays_open_keeps_the_jobs_and_says_until_when(
    held: HeldMails, store: InMemoryCircuitStore
) -> None:
    """Held open, they wait for operators; open by itself, for the probe, also if it is told to be automatic."""
    job = held.add()
    circuit, released = held.force("open")
    assert (circuit["held_jobs"], circuit["held_until"], released) == (1, None, 0)
    assert circuit["oldest_held_s"] > 24 * 3600, "from when it was written"
    policy = Settings().find_circuit_policy("email")
    store.change("email", store.read("email"), open_circuit(CircuitSnapshot(), policy, read_epoch_micros()))
    circuit, released = held.force("auto")
    assert (circuit["state"], released, held.is_due(job)) == ("open", 0, False)
    assert circuit["held_until"] >= circuit["probe_at"]
    assert held.queues.wake_ups == []


def test_operators_see_how_many_jobs_wait_for_each_circuit(held: HeldMails) -> None:
    """Each circuit has a count and the age of the oldest job."""
    held.add()
    held.add(created_at="2026-11-20T12:00:00Z")
    circuits = admin.handler({"command": "circuits"}, LambdaContext())["circuits"]
    assert {name: circuit["held_jobs"] for name, circuit in circuits.items()} == {
        "email": 2, "identity": 0, "storage": 0,
    }  # fmt: skip
    age_s = (read_utc_now() - datetime(2026, 11, 1, 12, tzinfo=UTC)).total_seconds()
    assert abs(age_s - circuits["email"]["oldest_held_s"]) < 60


def test_a_table_out_of_reach_is_reported_to_operators(store: InMemoryCircuitStore) -> None:
    """They must repeat the command."""
    store.reachable = False
    with pytest.raises(CommandError, match=r"repeat the command: Unreachable$"):
        admin.handler({"command": "circuits"}, LambdaContext())
