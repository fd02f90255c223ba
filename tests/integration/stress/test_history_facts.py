"""The facts beside a history, read from a real PostgreSQL: the commits in its own log, in their order."""

from typing import Any

import psycopg
from psycopg.rows import dict_row

from stress.history_facts import SQL
from tests.databases import FreshDatabase, PostgresHandle


def connect(postgres: PostgresHandle, database: FreshDatabase) -> "psycopg.Connection[dict[str, Any]]":
    """Return a connection as the superuser."""
    dsn = postgres.server.build_dsn("postgres", database.name)
    return psycopg.connect(dsn, autocommit=True, row_factory=dict_row)


def test_commits_are_read_from_the_log_in_its_order(postgres: PostgresHandle, fresh_database: FreshDatabase) -> None:
    """Of two transactions the one that began first commits last; a subtransaction counts, one rolled back does not."""
    with connect(postgres, fresh_database) as watcher:
        watcher.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        watcher.execute("CREATE TABLE notes (name text)")
        since = watcher.execute(SQL["position"]).fetchone()
        before = watcher.execute(SQL["clock"]).fetchone()
        with connect(postgres, fresh_database) as first, connect(postgres, fresh_database) as second:
            first.execute("BEGIN; INSERT INTO notes VALUES ('first')")
            second.execute("BEGIN; SAVEPOINT a; INSERT INTO notes VALUES ('second')")
            second.execute("RELEASE a; COMMIT")
            first.execute("COMMIT")
            first.execute("BEGIN; INSERT INTO notes VALUES ('nobody'); ROLLBACK")
        after = watcher.execute(SQL["clock"]).fetchone()
        watcher.execute("CHECKPOINT")  # asynchronous commits are in the log's file by then
        until = watcher.execute("SELECT pg_current_wal_flush_lsn()::text AS lsn").fetchone()
        assert since
        assert before
        assert after
        assert until
        rows = watcher.execute(SQL["commits"], {"since": since["lsn"], "until": until["lsn"]}).fetchall()
        xids = {row["name"]: row["xid"] for row in watcher.execute("SELECT name, xmin::text AS xid FROM notes")}
    places = {xid: row["lsn"] for row in rows for xid in [str(row["xid"]), *row["also"].split()]}
    assert places[xids["second"]] < places[xids["first"]]
    times = {xid: row["at"] for row in rows for xid in [str(row["xid"]), *row["also"].split()]}
    assert all(before["now"] <= times[xid] <= after["now"] for xid in xids.values())
    assert set(xids) == {"first", "second"}


def test_a_keys_transaction_is_the_one_that_inserted_it(
    postgres: PostgresHandle, fresh_database: FreshDatabase
) -> None:
    """The relay changes its row later, when it has kept the answer."""
    with connect(postgres, fresh_database) as connection, connect(postgres, fresh_database) as function:
        connection.execute(SQL["note_keys"].encode())
        function.execute("SET ROLE interdomestik_members")
        function.execute(
            "INSERT INTO idempotency_keys (scope, key, fingerprint, holder) VALUES ('s', 'k', 'f', 'token')"
        )
        function.execute("RESET ROLE")
        [inserted] = connection.execute("SELECT xmin::text::bigint AS xid FROM idempotency_keys").fetchall()
        connection.execute("UPDATE idempotency_keys SET holder = NULL")
        assert connection.execute(SQL["keys"].encode()).fetchall() == [{"key": "k", "xid": inserted["xid"]}]


def test_the_queries_of_facts_run(postgres: PostgresHandle, fresh_database: FreshDatabase) -> None:
    """On the schema as it is: each names only what there is."""
    with connect(postgres, fresh_database) as connection:
        connection.execute(SQL["note_keys"].encode())
        for name in ("audits", "keys", "rows", "jobs", "accounts"):
            cursor = connection.execute(SQL[name])
            assert cursor.description, name
