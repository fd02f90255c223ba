"""Operators' commands, on real PostgreSQL."""

import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from operations import app as admin
from operations.errors import CommandError
from shared.circuit.state import CircuitSnapshot, FailureBucket, open_circuit, replace_bucket
from shared.clock import read_epoch_micros
from shared.container import get_container
from shared.settings import Settings
from shared.units import SECOND
from tests.api_client import LambdaContext
from tests.databases import MIGRATIONS, PostgresHandle
from tests.fakes.circuits import InMemoryCircuitStore

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
    monkeypatch.setitem(get_container().__dict__, "database", fresh_database.make_database())
    admin.handler({"command": "force-circuit", "name": "email", "state": "open"}, LambdaContext())
    admin.handler({"command": "circuits"}, LambdaContext())
    [(action, subject, actor, facts)] = list_audit(postgres, fresh_database.name)
    assert (action, subject, actor) == ("circuit.forced", UUID(int=0), "operator")
    assert (facts["circuit"], facts["state"], facts["generation"]) == ("email", "open", 1)
    assert store.read("email").state == "open"


def test_a_circuit_is_forced_while_the_database_is_out_of_reach(
    store: InMemoryCircuitStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The outage may be the reason for forcing it; the log has what the audit could not take."""
    monkeypatch.setattr(admin, "AUDIT_S", 0.2)
    admin.handler({"command": "force-circuit", "name": "email", "state": "open"}, LambdaContext())
    assert store.read("email").state == "open"
    assert "audit_not_written" in caplog.messages


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
def store() -> Iterator[InMemoryCircuitStore]:
    """Yield the circuits, at the hands of the operators' function."""
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
        "failures": 0, "generation": 1,
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


def test_a_table_out_of_reach_is_reported_to_operators(store: InMemoryCircuitStore) -> None:
    """They must repeat the command."""
    store.reachable = False
    with pytest.raises(CommandError, match=r"repeat the command: Unreachable$"):
        admin.handler({"command": "circuits"}, LambdaContext())
