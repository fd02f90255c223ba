"""The searches' SQL on SQLite, held to PostgreSQL: each shipped statement on every state of a job or a key."""

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from jobs_api.service import SQL as ADMINS_SQL
from relay.answers import SQL as ANSWERS_SQL
from relay.app import SQL as RELAY_SQL
from shared.database.errors import KEY_CONSTRAINT, REQUIRE_FAILED
from shared.database.pipeline import SQL as KEYS_SQL
from tests.databases import FreshDatabase
from tests.exhaustive.key_table import FIRST_USED_AT, Duplicate, KeyRow, KeyTable
from tests.exhaustive.sql_table import JobTable, RequirementRefused
from tests.integration.jobs.records import RecordFixtures
from worker.job_runner import SQL as WORKER_SQL

COLUMNS = ("state", "attempts", "leased_until", "available_at", "begun")
STATES = ("pending", "queued", "running", "done", "failed", "uncertain", "dismissed")
SECOND = timedelta(seconds=1)
SHOWN = frozenset({"id", "kind", "priority", "state", "attempts", "leased_until", "require"})


def list_rows(now: datetime) -> Iterator[dict[str, Any]]:
    """Yield a job in each state, with an attempt left or not, each kind of lease, due or not, begun or not."""
    leases = (None, now - SECOND, now, now + SECOND)
    for state, attempts, lease, due, begun in itertools.product(
        STATES, (1, 2), leases, (now, now + SECOND), (False, True)
    ):
        yield dict(zip(COLUMNS, (state, attempts, lease, due, begun), strict=True))


def list_statements(job_id: UUID, now: datetime) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the statements of worker, relay and admins that a job's state depends on, with their parameters."""
    lease = now + SECOND
    yield "postpone_job", WORKER_SQL["postpone_job"], {"id": job_id, "kind": "mail", "delay": SECOND}
    yield "claim_job", WORKER_SQL["claim_job"], {"id": job_id, "lease": lease}
    yield "job_with_recipient", WORKER_SQL["job_with_recipient"], {"id": job_id}
    yield "mark_job_begun", WORKER_SQL["mark_job_begun"], {"id": job_id, "lease": lease}
    for state, counted in (("done", True), ("pending", False), ("failed", True), ("uncertain", True)):
        outcome = {"id": job_id, "lease": lease, "state": state, "error": None, "delay": SECOND, "counted": counted}
        yield f"record {state}", WORKER_SQL["record_job_outcome"], outcome
    yield "mark_abandoned_jobs", RELAY_SQL["mark_abandoned_jobs"], {"most_attempts": 2}
    yield "claim_due_jobs", RELAY_SQL["claim_due_jobs"], {"lease": lease, "count": 100}
    for ids in ([job_id], []):
        yield "mark_published", RELAY_SQL["mark_published"], {"ids": ids, "lease": lease, "patience": 2 * SECOND}
        yield "release_jobs", RELAY_SQL["release_jobs"], {"ids": ids, "lease": lease, "pause": SECOND}
    for name in ("require_job", "require_failed", "replay"):
        yield name, ADMINS_SQL[name], {"id": job_id}
    yield "dismiss", ADMINS_SQL["dismiss"], {"id": job_id, "reason": "not-needed"}


def run_on_postgres(connection: Any, query: str, params: Mapping[str, Any]) -> Any:
    """Return what a statement returns, or that it was refused."""
    try:
        cursor = connection.execute(query.encode(), dict(params))
    except psycopg.Error as error:
        if error.sqlstate != REQUIRE_FAILED:
            raise
        return "refused"
    return [pick_shown(row) for row in cursor.fetchall()] if cursor.description is not None else []


def pick_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that say something about the job's state."""
    return {name: value for name, value in row.items() if name in SHOWN and name != "require"}


def test_each_statement_about_a_job_does_the_same_on_both(
    fresh_database: FreshDatabase, records: RecordFixtures
) -> None:
    """In every state: the same row afterwards, the same rows returned, the same refusals."""
    member = records.add_member()
    job_id = records.add_mail("member-welcome", member, to=member)
    table, compared, changed = JobTable(), 0, set()
    conninfo = fresh_database.postgres.build_conninfo(dbname=fresh_database.name)
    with psycopg.connect(conninfo, row_factory=dict_row) as connection:
        now: datetime = connection.execute("SELECT now() AS now").fetchone()["now"].astimezone(UTC)  # type: ignore[index]
        for row in list_rows(now):
            for name, query, params in list_statements(job_id, now):
                connection.execute("SAVEPOINT before")
                connection.execute(
                    "UPDATE outbox SET state = %(state)s, attempts = %(attempts)s, leased_until = %(leased_until)s,"
                    " available_at = %(available_at)s, begun = %(begun)s,"
                    " dismissal = CASE WHEN %(state)s = 'dismissed' THEN 'not-needed' END",
                    row,
                )
                theirs = run_on_postgres(connection, query, params)
                after = row
                if theirs != "refused":
                    found = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM outbox".encode()).fetchone()
                    assert found is not None
                    after = found
                connection.execute("ROLLBACK TO SAVEPOINT before")
                job = {"id": job_id, "kind": "mail", "priority": "normal", **row}
                try:
                    ours, results = table.run(job, [(query, params)], now)
                except RequirementRefused:
                    assert theirs == "refused", (name, row)
                else:
                    assert [pick_shown(each) for each in results[0]] == theirs, (name, row)
                    assert {column: ours[column] for column in COLUMNS} == after, (name, row)
                    changed |= {name} if after != row else set()
                compared += 1
        connection.rollback()
    assert compared == 224 * 18
    reading = {"job_with_recipient", "require_job", "require_failed"}
    assert changed == {name for name, _, _ in list_statements(job_id, now)} - reading, "each that can change a job did"


@pytest.mark.parametrize(
    "row",
    [
        None,
        *(KeyRow("first", None, holder) for holder in (None, "token")),
        *(KeyRow("first", "1", holder) for holder in (None, "token", "another")),
        KeyRow("other", "1", "token"),
    ],
)
def test_each_statement_about_a_key_does_the_same_on_both(fresh_database: FreshDatabase, row: KeyRow | None) -> None:
    """Whether the key is new, its work is under way or done, kept or not, or it was used for something else."""
    names = {"scope": "scope", "key": "key"}
    taken = {**names, "fingerprint": "first"}
    answer = {"key_scope": "scope", "key_key": "key"}
    transactions: list[list[tuple[str, dict[str, Any]]]] = [
        [(KEYS_SQL["take_key"], {**taken, "holder": None}), (KEYS_SQL["keep_answer"], answer)],
        [(KEYS_SQL["take_key"], {**taken, "holder": "token"}), (KEYS_SQL["keep_answer"], answer)],
        [(KEYS_SQL["keep_answer"], answer)],
        [(KEYS_SQL["find_answer"], names)],
        [(ANSWERS_SQL["unkept_answers"], {"count": 2})],
        [(ANSWERS_SQL["mark_kept"], {"holders": ["token"]})],
    ]
    conninfo = fresh_database.postgres.build_conninfo(dbname=fresh_database.name)
    for transaction in transactions:
        with psycopg.connect(conninfo) as connection:
            if row is not None:
                connection.execute(
                    "INSERT INTO idempotency_keys (scope, key, fingerprint, answer, holder, created_at) "
                    "VALUES ('scope', 'key', %s, %s, %s, %s)",
                    (*row, FIRST_USED_AT),
                )
            theirs: Any
            try:
                cursors = [
                    connection.execute(q.replace("{facts}", "SELECT to_jsonb(1) AS facts").encode(), p)
                    for q, p in transaction
                ]
            except psycopg.errors.UniqueViolation as error:
                theirs, found = Duplicate() if error.diag.constraint_name == KEY_CONSTRAINT else error, row
            else:
                theirs = [
                    [tuple(map(_read_value, each)) for each in cursor] if cursor.description else []
                    for cursor in cursors
                ]
                held = connection.execute("SELECT fingerprint, answer, holder FROM idempotency_keys").fetchone()
                found = None if held is None else KeyRow(held[0], _read_text(held[1]), held[2])
            connection.rollback()
        ours = [(q.replace("{facts}", "SELECT '1' AS facts"), p) for q, p in transaction]
        (after, _), result = KeyTable().run(row, 0, ours)
        if not isinstance(result, Duplicate):
            result = [[tuple(_read_value(value) for _, value in each) for each in rows] for rows in result]
        assert (after, result) == (found, theirs), transaction


def _read_text(value: Any) -> str | None:
    return None if value is None else str(value)


def _read_value(value: Any) -> str | datetime | None:
    return value if isinstance(value, datetime) else _read_text(value)
