"""The owner that the stack makes in the database which RDS has made, by `setup.sql` as the Data API runs it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from database_setup.app import create_owner
from local.postgres import PostgresServer
from shared.database.migrate import migrate
from tests.databases import MIGRATIONS
from tests.integration.servers.test_setup import AS_ON_RDS, MAIN_USER, OWNER, list_members_of_rds_iam, run
from tests.integration.servers.tls import run_server
from tests.roles import LIMITED

DATABASE = "interdomestik"  # the cluster's DatabaseName: RDS makes it for the main user
PROPERTIES = {"ClusterArn": "arn:cluster", "SecretArn": "arn:secret", "Database": DATABASE}


class DataApiOf:
    """The Data API of a server: one statement, in a transaction of its own, as the main user."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    def execute_statement(self, **call: str) -> Mapping[str, Any]:
        """Run it by the extended protocol, which takes one statement only."""
        with psycopg.connect(self.server.build_dsn(MAIN_USER, call["database"])) as connection:
            connection.execute(call["sql"].encode(), binary=True)
        return {}


@pytest.fixture
def server(version: str, tmp_path: Path) -> Iterator[PostgresServer]:
    """Yield a server as RDS hands it over, with the database of the template."""
    with run_server(version, tmp_path) as running:
        run(running, AS_ON_RDS, user="postgres")
        run(running, f"CREATE DATABASE {DATABASE}", user=MAIN_USER)
        yield running


def test_the_owner_migrates_a_database_that_the_stack_has_made(server: PostgresServer) -> None:
    """Twice, as when the stack is updated; the functions sign in by IAM, and so does the owner."""
    for _ in range(2):
        create_owner(DataApiOf(server), PROPERTIES, attempts=1)
        migrate(server.build_dsn(OWNER, DATABASE), MIGRATIONS, connection_limit=50, iam=True)

    assert list_members_of_rds_iam(server) == sorted([OWNER, *LIMITED])


def test_the_owner_of_a_made_database_is_no_more_than_that_of_the_guide(server: PostgresServer) -> None:
    """No superuser, no other database; and the database is theirs."""
    create_owner(DataApiOf(server), PROPERTIES, attempts=1)
    with psycopg.connect(server.build_dsn(OWNER, DATABASE)) as connection:
        query = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(query).fetchone() == (False, True, False, False)
        owner = "SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()"
        assert connection.execute(owner).fetchone() == (OWNER,)
