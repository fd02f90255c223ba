"""PostgreSQL for tests: one server a session, a fresh migrated database for each module that asks.

The functions' role comes through a proxy that does what RDS Proxy does, by TLS and with `verify-full`; owners look in
directly, and without TLS, which the embedded server is built without. A session that was pinned, or left something
behind for the next one, fails the run.

DB_PIPELINE=off has every use case send its statements one by one.
"""

import atexit
import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from local import postgres as launcher
from local import unprivileged
from local.certificates import Certificates, ensure_certificates
from local.database_proxy.proxy import BORROW_TIMEOUT_S, Proxy, run_proxy
from local.processes import ChildProcess
from shared.clock import read_monotonic
from shared.database.connection import Connection, ConnectionHolder
from shared.database.migrate import migrate
from shared.database.pipeline import Database
from shared.deadline import Deadline
from shared.settings import Settings
from tests.roles import LIMITED, RoleConnector
from tests.services import ROOT, find_free_port

MIGRATIONS = ROOT / "migrations"
TEMPLATE = "migrated"
# Who works here from the start: the accounts of tests.api_client.STAFF and ADMIN, who have signed in before.
SEEDED = """
INSERT INTO accounts (id, role, identity_sub, email, full_name, language, proven_at)
SELECT gen_random_uuid(), role, role || '-1', role || '@example.test', 'Drita Berisha', 'en', now()
FROM unnest(ARRAY['staff', 'admin']) AS role
"""
READY_S = 60.0
MAX_CONNECTIONS = Settings().db_max_connections  # the server takes 100, so that owners get in besides

# Whether use cases go in one round trip here, as they are deployed.
IS_PIPELINED = os.environ.get("DB_PIPELINE", "on") == "on"

_proxies: list[Proxy] = []
_left: list[str] = []  # by sessions in servers that are gone
_serial = itertools.count(1)


@cache
def make_certificates() -> Certificates:
    """Return what the proxies of this process show themselves by."""
    folder = tempfile.mkdtemp(prefix="certificates-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return ensure_certificates(Path(folder))


def run_tls_proxy(
    target_port: int, *, max_connections: int = 10, borrow_timeout_s: float = BORROW_TIMEOUT_S
) -> AbstractContextManager[Proxy]:
    """Run a proxy that is reached as `FreshDatabase.settings` say, gone when the block ends."""
    tls = make_certificates().build_server_context()
    return run_proxy(target_port, max_connections=max_connections, borrow_timeout_s=borrow_timeout_s, tls=tls)


def make_deployed_connector(
    dial: Callable[[float], Connection],
    *,
    clock: Callable[[], float] = read_monotonic,
    uniform: Callable[[float, float], float] = random.uniform,
) -> ConnectionHolder:
    """Return a connector that keeps connections idle, and at all, as long as the deployed defaults say."""
    s = Settings()
    idle_s, life_s = s.db_idle_timeout, s.db_max_lifetime
    return ConnectionHolder(dial, idle_timeout_s=idle_s, max_lifetime_s=life_s, clock=clock, uniform=uniform)


@dataclass(frozen=True)
class PostgresHandle:
    """A running server; `child.process` is its postmaster."""

    server: launcher.PostgresServer
    child: ChildProcess

    @cached_property
    def proxy(self) -> Proxy:
        """Yield the proxy through which the functions' role connects, until the end of the session."""
        tls = make_certificates().build_server_context()
        proxy = Proxy(self.server.port, max_connections=MAX_CONNECTIONS, tls=tls)
        proxy.start()
        _proxies.append(proxy)
        return proxy

    def stop(self) -> None:
        """End it; what sessions have left behind in it is looked for before."""
        _left.extend(f"left behind: {what}" for what in self.proxy.read_session_state())
        self.child.stop()

    def build_conninfo(self, *, user: str = launcher.OWNER, dbname: str = launcher.DATABASE) -> str:
        """How a role reaches a database."""
        return self.server.build_dsn(user, dbname)

    def execute(self, statement: str, *, user: str = "postgres", dbname: str = "postgres") -> None:
        """Run one statement as the server's owner."""
        with psycopg.connect(self.build_conninfo(user=user, dbname=dbname), autocommit=True) as connection:
            connection.execute(statement.encode())

    def read_limits(self, dbname: str = "postgres") -> tuple[set[int], int]:
        """Return how many connections each of the functions' roles may have, and a database."""
        with psycopg.connect(self.build_conninfo(user="postgres", dbname="postgres")) as connection:
            roles = connection.execute(
                "SELECT rolconnlimit FROM pg_roles WHERE rolname = ANY(%s)", [LIMITED]
            ).fetchall()
            query = "SELECT datconnlimit FROM pg_database WHERE datname = %s"
            [(most,)] = connection.execute(query, [dbname]).fetchall()
        return {limit for (limit,) in roles}, most

    def drop_limits(self) -> None:
        """Take the limits of the functions' roles back: they are the whole server's."""
        for role in LIMITED:
            self.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")

    def make_fresh_database(self) -> "FreshDatabase":
        """Return a database of its own, with the schema and no rows."""
        name = f"test_{next(_serial)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {launcher.OWNER}")
        return FreshDatabase(self, name)


@dataclass(frozen=True)
class FreshDatabase:
    """A database with the schema, and two accounts of who works here."""

    postgres: PostgresHandle
    name: str
    is_pipelined: bool = IS_PIPELINED

    @property
    def settings(self) -> Settings:
        """Settings by which a function connects to it as its own role."""
        return Settings(
            db_host="127.0.0.1",
            db_port=self.postgres.proxy.port,
            db_name=self.name,
            db_auth="trust",
            db_sslrootcert=str(make_certificates().authority),
            db_pipeline="on" if self.is_pipelined else "off",
            cursor_secret="tests",
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a function of another process has those settings."""
        names = ("db_port", "db_name", "db_auth", "db_sslmode", "db_sslrootcert", "db_pipeline")
        return {name.upper(): str(getattr(self.settings, name)) for name in names}

    @property
    def direct(self) -> Settings:
        """The same past the proxy, without TLS: for what only the server itself can say."""
        return self.settings.model_copy(update={"db_port": self.postgres.server.port, "db_sslmode": "disable"})

    def make_database(self) -> Database:
        """It, as a function has it: on a connection of its own, by the role of the function that asks."""
        return Database(RoleConnector(self.settings), pipeline=self.is_pipelined)

    def query_rows(self, query: str, *params: object) -> list[dict[str, Any]]:
        """Return the rows of a statement that its owner runs."""
        conninfo = self.postgres.build_conninfo(dbname=self.name)
        with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), params)
            return cursor.fetchall() if cursor.description is not None else []

    @contextmanager
    def hold_lock(self, statement: str, *params: object) -> Iterator[None]:
        """Keep a transaction of another session open within the block, after a statement that takes rows."""
        with psycopg.connect(self.postgres.build_conninfo(dbname=self.name)) as connection:
            connection.execute(statement.encode(), params)
            yield

    def cut_connections(self) -> None:
        """End every session on it, as a failover or an impatient operator does, and the lines that lead there."""
        self.postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'")
        self.postgres.proxy.cut_all(self.name)

    def change_role(self, setting: str) -> None:
        """Give the functions' roles another setting here, `name = value`, from the next session on."""
        for role in LIMITED:
            self.postgres.execute(f"ALTER ROLE {role} IN DATABASE {self.name} SET {setting}")
        self.postgres.proxy.refresh()

    def reset_role(self) -> None:
        """Take such settings back."""
        for role in LIMITED:
            self.postgres.execute(f"ALTER ROLE {role} IN DATABASE {self.name} RESET ALL")
        self.postgres.proxy.refresh()

    def count(self, table: str) -> int:
        """Return how many rows a table holds."""
        return int(self.query_rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])


def make_deadline(seconds: float = 10.0) -> Deadline:
    """Return a deadline for a call in a test."""
    return Deadline.from_seconds(seconds, read_monotonic)


def start_postgres(folder: Path, **settings: str) -> PostgresHandle:
    """Return a server of its own; end it with `.stop()`, or `.child.stop()` where it has ended by itself."""
    runner = unprivileged.choose_user_switch(launcher.find_binaries(), folder)
    server = launcher.PostgresServer(runner.folder, find_free_port(), folder / "postgres.log", runner)
    # Nothing a test writes has to survive the machine; what survives a killed server does not depend on it.
    child = launcher.start(server, **{"fsync": "off", "synchronous_commit": "off", **settings})
    child.wait_until(launcher.make_ready_check(server, child), READY_S)
    return PostgresHandle(server, child)


@pytest.fixture(scope="session", autouse=True)
def check_unpinned() -> Iterator[None]:
    """Fails the run where a session was pinned, or left state behind, or the proxy itself went wrong."""
    yield
    trouble = _left + [line for proxy in _proxies for line in list_proxy_findings(proxy)]
    for proxy in _proxies:
        proxy.stop()
    assert trouble == []


def list_proxy_findings(proxy: Proxy) -> list[str]:
    """Return what a proxy before the functions must not have seen."""
    pins = [f"pinned {count} times: {reason}" for reason, count in proxy.counts.pins.items()]
    state = [f"changed by a transaction: {name}" for name in proxy.counts.changed_settings]
    return [*pins, *state, *proxy.crashes]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresHandle]:
    """Yield the session's PostgreSQL server, with a migrated template database."""
    running = start_postgres(tmp_path_factory.mktemp("postgres"))
    try:
        running.execute(f"CREATE DATABASE {TEMPLATE} OWNER {launcher.OWNER}")
        migrate(running.build_conninfo(dbname=TEMPLATE), MIGRATIONS)
        running.execute(SEEDED, dbname=TEMPLATE)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def fresh_database(postgres: PostgresHandle) -> FreshDatabase:
    """Return a database of the module's own."""
    return postgres.make_fresh_database()


@pytest.fixture(scope="module")
def database(fresh_database: FreshDatabase) -> Database:
    """Return the module's database as a function has it."""
    return fresh_database.make_database()
