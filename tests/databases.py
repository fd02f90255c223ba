"""PostgreSQL for tests: one server a session, a fresh migrated database for each module that asks."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from local import postgres as launcher
from local import unprivileged
from local.children import Child
from shared.clock import monotonic
from shared.postgres.connection import Connector, connect_arguments
from shared.postgres.database import Database
from shared.postgres.migrate import migrate
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from tests.services import ROOT, free_port

MIGRATIONS = ROOT / "migrations"
TEMPLATE = "migrated"
READY_S = 60.0

_serial = itertools.count(1)


@dataclass(frozen=True)
class Postgres:
    """A running server; `child.process` is its postmaster."""

    server: launcher.Server
    child: Child

    def conninfo(self, *, user: str = launcher.OWNER, dbname: str = launcher.DATABASE) -> str:
        """How a role reaches a database."""
        return self.server.dsn(user, dbname)

    def execute(self, statement: str, *, user: str = "postgres", dbname: str = "postgres") -> None:
        """Run one statement as the server's owner."""
        with psycopg.connect(self.conninfo(user=user, dbname=dbname), autocommit=True) as connection:
            connection.execute(statement.encode())

    def fresh(self) -> "Blank":
        """A database of its own, with the schema and no rows."""
        name = f"test_{next(_serial)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {launcher.OWNER}")
        return Blank(self, name)


@dataclass(frozen=True)
class Blank:
    """A database with the schema and no rows."""

    postgres: Postgres
    name: str

    @property
    def settings(self) -> Settings:
        """Settings that lead the functions' own role to it."""
        return Settings(
            db_host="127.0.0.1",
            db_port=self.postgres.server.port,
            db_name=self.name,
            db_auth="trust",
            db_sslmode="disable",
            cursor_secret="tests",
        )

    def database(self) -> Database:
        """It, as a function has it: on a connection of its own, by the functions' role."""
        arguments = connect_arguments(self.settings, None)
        connector = Connector(
            lambda _within_s: psycopg.connect(**arguments), idle_timeout_s=20, max_lifetime_s=3600, clock=monotonic
        )
        return Database(connector)

    def rows(self, query: str, *params: object) -> list[dict[str, Any]]:
        """What a look into it by its owner shows, or what a statement returns."""
        conninfo = self.postgres.conninfo(dbname=self.name)
        with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), params)
            return cursor.fetchall() if cursor.description is not None else []

    def cut_connections(self) -> None:
        """End every session on it, as a failover or an impatient operator does."""
        self.postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'")

    def count(self, table: str) -> int:
        """How many rows a table holds."""
        return int(self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])


def soon(seconds: float = 10.0) -> Deadline:
    """A deadline for a call in a test."""
    return Deadline.after(seconds, monotonic)


def started_postgres(folder: Path, **settings: str) -> Postgres:
    """A server of its own; end it with `.child.stop()`."""
    runner = unprivileged.choose(launcher.installed_binaries(), folder)
    server = launcher.Server(runner.folder, free_port(), folder / "postgres.log", runner)
    # Nothing a test writes has to survive the machine; what survives a killed server does not depend on it.
    child = launcher.start(server, fsync="off", synchronous_commit="off", **settings)
    child.wait_until(launcher.is_ready(server, child), READY_S)
    return Postgres(server, child)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The session's PostgreSQL server, with a migrated template database."""
    running = started_postgres(tmp_path_factory.mktemp("postgres"))
    try:
        running.execute(f"CREATE DATABASE {TEMPLATE} OWNER {launcher.OWNER}")
        migrate(running.conninfo(dbname=TEMPLATE), MIGRATIONS)
        yield running
    finally:
        running.child.stop()


@pytest.fixture(scope="module")
def blank(postgres: Postgres) -> Blank:
    """A database of the module's own."""
    return postgres.fresh()


@pytest.fixture(scope="module")
def database(blank: Blank) -> Database:
    """The module's database as a function has it."""
    return blank.database()
