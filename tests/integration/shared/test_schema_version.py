"""The version of the schema, as a release compares it with the migrations that it ships with."""

import os

import pytest

from shared.database.connection import ConnectionHolder, connect
from shared.database.pipeline import Database
from shared.database.schema_version import SchemaVersion, list_shipped, query_schema_version
from tests.databases import FreshDatabase, make_deadline, make_deployed_connector

SHIPPED = list_shipped(os.environ)


@pytest.fixture
def own(fresh_database: FreshDatabase) -> FreshDatabase:
    """A database of the test's own."""
    return fresh_database.postgres.make_fresh_database()


def read_version(own: FreshDatabase, shipped: tuple[str, ...] = SHIPPED) -> SchemaVersion:
    """Return the version as health's role reads it."""
    settings = own.settings.model_copy(update={"db_user": "interdomestik_health"})
    connector: ConnectionHolder = make_deployed_connector(lambda within_s: connect(settings, None, within_s))
    database = Database(connector, pipeline=own.is_pipelined)
    try:
        return database.run(lambda tx: query_schema_version(tx, shipped), make_deadline()).value
    finally:
        connector.drop()


def test_a_migrated_database_is_current(own: FreshDatabase) -> None:
    """Its newest migration is the newest of this tree."""
    assert read_version(own) == SchemaVersion(SHIPPED[-1], missing=())


def test_what_is_not_applied_is_named(own: FreshDatabase) -> None:
    """A missing migration is named even if a later one is applied."""
    own.query_rows("DELETE FROM schema_migrations WHERE version = ANY(%s)", [SHIPPED[3], SHIPPED[-1]])
    assert read_version(own) == SchemaVersion(SHIPPED[-2], missing=(SHIPPED[3], SHIPPED[-1]))


def test_a_later_schema_is_current(own: FreshDatabase) -> None:
    """The release before it goes on while a deployment runs."""
    assert read_version(own, SHIPPED[:-1]) == SchemaVersion(SHIPPED[-1], missing=())
