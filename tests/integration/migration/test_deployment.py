"""The custom resource `Migration` on a real database: what a deployment, its repetition and its rollback do."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from local.postgres import OWNER
from migration import app
from shared.container import get_container
from tests.custom_resources import receive_answers
from tests.databases import MIGRATIONS, PostgresHandle
from tests.services import find_free_port

ARN = "arn:aws:lambda:eu-central-1:111122223333:function:migration"
CONTEXT = SimpleNamespace(
    aws_request_id="r-2", log_group_name="migration-logs", get_remaining_time_in_millis=lambda: 90_000
)
ALL = [path.stem for path in sorted(MIGRATIONS.glob("*.sql"))]
LIMIT = 61

_serial = itertools.count(1)


class DeployedDatabase:
    """An empty database, and the deployments to it."""

    def __init__(self, postgres: PostgresHandle, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name = f"deployed_{next(_serial)}"
        self.postgres = postgres
        self._monkeypatch = monkeypatch
        postgres.execute(f"CREATE DATABASE {self.name} OWNER {OWNER}")
        self.change(DB_NAME=self.name, DB_USER=OWNER, DB_PORT=str(postgres.server.port), DB_AUTH="trust",
                    DB_SSLMODE="disable", MIGRATIONS_DIR=os.fspath(MIGRATIONS))  # fmt: skip

    def change(self, **variables: str) -> None:
        """Give the function's environment other values."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)
        get_container.cache_clear()

    def deploy(self, version: int, before: int | None = None) -> tuple[str, str]:
        """Let CloudFormation go from one version of the function to another; return the outcome and its reason."""
        kind, more = "Create", {}
        if before:
            kind, more = "Update", {"OldResourceProperties": {"Version": f"{ARN}:{before}"}}
        with receive_answers() as box:
            app.handler(box.build_request(kind, {"Version": f"{ARN}:{version}"}, **more), CONTEXT)
        [(_, answer)] = box.answers
        return answer["Status"], answer["Reason"]

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Read the database as its owner."""
        with psycopg.connect(self.postgres.build_conninfo(dbname=self.name)) as connection:
            return connection.execute(query.encode()).fetchall()

    def list_applied(self) -> list[str]:
        """The ledger."""
        return [version for (version,) in self.fetch("SELECT version FROM schema_migrations ORDER BY version")]


@pytest.fixture
def deployed(postgres: PostgresHandle, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeployedDatabase]:
    """A database of the test's own."""
    yield DeployedDatabase(postgres, monkeypatch)
    get_container.cache_clear()
    postgres.drop_limits()


def test_the_first_deployment_migrates_and_a_later_one_has_nothing_to_do(deployed: DeployedDatabase) -> None:
    """The audit has one entry, by the deployment."""
    assert deployed.deploy(1) == ("SUCCESS", "")
    assert deployed.list_applied() == ALL
    assert deployed.deploy(2, before=1) == ("SUCCESS", "")
    entries = deployed.fetch("SELECT action, actor, request_id, facts->'applied' FROM audit")
    assert entries == [("schema.migrated", "deployment", "r-2", ALL)]


def test_a_failed_migration_stops_the_deployment_and_the_next_one_goes_on(
    deployed: DeployedDatabase, tmp_path: Path
) -> None:
    """The migrations before it stay applied."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id int);")
    (tmp_path / "0002_b.sql").write_text("ALTER TABLE a DROP COLUMN name;")
    deployed.change(MIGRATIONS_DIR=os.fspath(tmp_path))
    status, reason = deployed.deploy(1)
    assert status == "FAILED"
    assert reason == (
        "migration 0002_b failed, and nothing of it stays: UndefinedColumn (SQLSTATE 42703): "
        'column "name" of relation "a" does not exist (log migration-logs, r-2)'
    )
    (tmp_path / "0002_b.sql").write_text("ALTER TABLE a ADD COLUMN name text;")
    assert deployed.deploy(2, before=1)[0] == "SUCCESS"
    assert deployed.list_applied() == ["0001_a", "0002_b"]


def test_a_rollback_undoes_nothing(deployed: DeployedDatabase, tmp_path: Path) -> None:
    """The function is on the earlier version, whose layer has fewer migrations."""
    deployed.deploy(2)
    deployed.change(MIGRATIONS_DIR=os.fspath(tmp_path))
    (tmp_path / f"{ALL[0]}.sql").write_text((MIGRATIONS / f"{ALL[0]}.sql").read_text())
    assert deployed.deploy(1, before=2) == ("SUCCESS", "")
    assert deployed.list_applied() == ALL


def test_a_rollback_goes_on_without_the_database(deployed: DeployedDatabase) -> None:
    """Its outage may be why CloudFormation goes back."""
    deployed.change(DB_PORT=str(find_free_port()))
    assert deployed.deploy(1, before=2) == ("SUCCESS", "")
