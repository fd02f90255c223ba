"""Operators' commands, on real PostgreSQL."""

import os
from typing import Any

import pytest

from jobs import admin
from jobs.admin import CommandError, CreateStaff, create_staff, read_command
from jobs.guard import JobsError
from shared.aws.failures import Unavailable
from shared.postgres import Database
from shared.wiring import wiring
from tests.databases import MIGRATIONS, Blank, Postgres, soon
from tests.fakes.identities import FakeIdentities
from tests.harness import LambdaContext
from tests.integration.jobs.records import Records

NEW = {"command": "create-staff", "email": "Ana@Example.test", "full_name": "Ana", "role": "staff", "language": "mk"}


@pytest.fixture
def identities() -> FakeIdentities:
    """The pool."""
    return FakeIdentities()


def create(database: Database, identities: FakeIdentities, **changes: Any) -> dict[str, Any]:
    """Run the command."""
    command = read_command(NEW | changes)
    assert isinstance(command, CreateStaff)
    return create_staff(command, database=database, identities=identities, deadline=soon())


def test_a_member_of_staff_has_an_account_and_can_sign_in(
    database: Database, identities: FakeIdentities, blank: Blank
) -> None:
    """The address in lower case, as everywhere."""
    made = create(database, identities)
    [account] = blank.rows("SELECT id::text AS account_id, identity_sub AS sub, role, email, language FROM accounts")
    assert account == {**made, "role": "staff", "email": "ana@example.test", "language": "mk"}
    assert identities.people["ana@example.test"].groups == {"staff"}


def test_repeating_the_command_changes_nothing(database: Database, identities: FakeIdentities, blank: Blank) -> None:
    """Also after a failure halfway."""
    identities.fails = [Unavailable("TooManyRequestsException")]
    with pytest.raises(Unavailable):
        create(database, identities)
    first = create(database, identities)
    assert create(database, identities) == first
    assert blank.count("accounts") == 1


@pytest.mark.parametrize("role", ["member", "agent", "admin"])
def test_an_address_of_another_role_is_refused(
    database: Database, identities: FakeIdentities, records: Records, role: str
) -> None:
    """Nobody gets into the staff, or becomes an admin, by an account they have already."""
    records.account(role, email="ana@example.test")
    with pytest.raises(CommandError, match="another role"):
        create(database, identities)
    assert not identities.people


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({}, "unknown command; there are: migrate, create-staff, circuits, force-circuit"),
        ({"command": "drop"}, "unknown command"),
        ({"command": ["migrate"]}, "unknown command"),
        ({"command": "migrate", "force": True}, "force"),
        ({k: v for k, v in NEW.items() if k != "language"}, "language"),
        (NEW | {"role": "member"}, "role"),
        (NEW | {"email": "ana"}, "email"),
    ],
)
def test_a_command_that_is_wrong_says_what_is(event: dict[str, Any], words: str) -> None:
    """Without quoting what was sent: it is printed."""
    with pytest.raises(CommandError, match=words) as refused:
        admin.handler(event, LambdaContext())
    assert "Ana" not in str(refused.value)
    assert "ana" not in str(refused.value)


def test_migrate_brings_a_database_up_to_date_and_says_what_it_did(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the settings' role, and safe to repeat."""
    postgres.execute("CREATE DATABASE to_migrate OWNER interdomestik")
    settings = {"DB_NAME": "to_migrate", "DB_USER": "interdomestik", "DB_PORT": str(postgres.server.port),
                "DB_AUTH": "trust", "DB_SSLMODE": "disable", "MIGRATIONS_DIR": os.fspath(MIGRATIONS)}  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    wiring.cache_clear()
    try:
        applied = admin.handler({"command": "migrate"}, LambdaContext())["applied"]
        assert applied == sorted(path.stem for path in MIGRATIONS.glob("*.sql"))
        assert admin.handler({"command": "migrate"}, LambdaContext()) == {"applied": []}
    finally:
        wiring.cache_clear()


def test_a_database_out_of_reach_is_told_by_its_class_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error's own words may hold hosts and rows, and Lambda prints them."""
    monkeypatch.setenv("DB_PORT", "1")
    monkeypatch.setenv("DB_AUTH", "trust")
    monkeypatch.setenv("DB_SSLMODE", "disable")
    wiring.cache_clear()
    try:
        with pytest.raises(JobsError, match=r"^OperationalError$"):
            admin.handler({"command": "migrate"}, LambdaContext())
    finally:
        wiring.cache_clear()
