"""Each function's role may do to the database what its statements do, and nothing else.

All integration tests hold that it may do enough: there each function's code connects as its role (tests/roles.py).
"""

import random
import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.postgres import OWNER
from shared.database.pipeline import Database
from tests.databases import FreshDatabase
from tests.fakes.documents import FakeDocumentStore
from tests.lock_order.sample_records import write_sample_records
from tests.lock_order.write_operations import ACTS, OperationEnvironment, has_succeeded
from tests.roles import BEFORE, FUNCTIONS, RoleConnector

TABLE = tomllib.loads((Path(__file__).parent / "database_roles.toml").read_text(encoding="utf-8"))
NOBODY: dict[str, str] = TABLE["nobody"]
ROLES: dict[str, dict[str, dict[str, str]]] = {role: may for role, may in TABLE.items() if role != "nobody"}
OWN_ROLES = sorted(set(FUNCTIONS.values()) - {OWNER})

# The privileges on tables, views and sequences, and those on single columns; a grantee of 0 is everybody.
GRANTS = """
SELECT coalesce(r.rolname, 'everybody') AS role, g.relation, lower(g.privilege) AS privilege, g.columns
FROM (
    SELECT a.grantee, c.relname AS relation, a.privilege_type AS privilege, '*' AS columns
    FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
    WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner
    UNION ALL
    SELECT a.grantee, c.relname, a.privilege_type, string_agg(t.attname, ' ' ORDER BY t.attname)
    FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN aclexplode(t.attacl) a
    WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner
    GROUP BY a.grantee, c.relname, a.privilege_type) g
LEFT JOIN pg_roles r ON r.oid = g.grantee"""
RELATIONS = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"""
# Functions that see more than their caller: who may call them (null is everybody), and in which search path they run.
DEFINERS = """
SELECT p.proname AS name, p.proconfig AS config, (
    SELECT array_agg(DISTINCT coalesce(r.rolname, 'everybody')::text ORDER BY coalesce(r.rolname, 'everybody')::text)
    FROM aclexplode(p.proacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE a.grantee <> p.proowner) AS callers,
    p.proacl IS NULL AS open
FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef ORDER BY 1"""
WITH_API = [f"interdomestik_{name}" for name in ("agents", "app", "claims", "jobs", "members")]
CALLERS = {
    "authorize": WITH_API,
    "check_claim_access": None,
    "check_statement_sums": None,
    "is_written_here": WITH_API,
    "keep_mail_facts": None,
    "keep_member_search": None,
    "sees_record": None,
    "with_mail_facts": ["interdomestik_app", "interdomestik_worker"],
}

Grants = dict[tuple[str, str, str], str]


def read_decided() -> Grants:
    """Return what the table says, in the order of the catalog's columns."""
    return {
        (role, relation, privilege): " ".join(sorted(columns.split()))
        for role, may in ROLES.items()
        for relation, privileges in may.items()
        for privilege, columns in privileges.items()
    }


def read_granted(fresh_database: FreshDatabase) -> Grants:
    """Return what the catalog says."""
    return {
        (row["role"], row["relation"], row["privilege"]): row["columns"] for row in fresh_database.query_rows(GRANTS)
    }


def list_undecided(fresh_database: FreshDatabase) -> set[str]:
    """Return the tables, views and sequences about which nobody has decided who sees them."""
    own = {relation for role in OWN_ROLES for relation in ROLES[role]}
    return {row["relname"] for row in fresh_database.query_rows(RELATIONS)} - own - set(NOBODY)


def test_every_role_may_do_what_the_table_says_and_nothing_else(fresh_database: FreshDatabase) -> None:
    """A grant too many is as much a difference as a missing one; PUBLIC has none."""
    assert read_granted(fresh_database) == read_decided()


@pytest.mark.parametrize(
    "change",
    [
        "GRANT SELECT (full_name) ON accounts TO interdomestik_health",
        "GRANT UPDATE (amount) ON commissions TO interdomestik_members",
        "GRANT SELECT ON members TO PUBLIC",
        "REVOKE SELECT (number) ON members FROM interdomestik_agents",
        "GRANT USAGE ON SEQUENCE payout_numbers TO interdomestik_claims",
    ],
)
def test_a_grant_too_many_or_too_few_is_seen(fresh_database: FreshDatabase, change: str) -> None:
    """The comparison above fails for a single column."""
    with psycopg.connect(fresh_database.postgres.build_conninfo(dbname=fresh_database.name)) as connection:
        connection.execute(change.encode())
        rows = connection.execute(GRANTS.encode()).fetchall()
        connection.rollback()
    assert {tuple(row[:3]): row[3] for row in rows} != read_decided()


def test_a_table_that_nobody_decided_about_is_seen(fresh_database: FreshDatabase) -> None:
    """A migration that makes one says who may do what with it, or that no function's role may."""
    assert list_undecided(fresh_database) == set()
    fresh_database.query_rows("CREATE TABLE new_table (id int)")
    try:
        assert list_undecided(fresh_database) == {"new_table"}
    finally:
        fresh_database.query_rows("DROP TABLE new_table")


def test_every_function_has_a_role_of_its_own() -> None:
    """Two functions with one role could do what either needs. Operators and the deployment both own the schema."""
    assert len(OWN_ROLES) == len([role for role in FUNCTIONS.values() if role != OWNER])
    assert set(ROLES) == {*OWN_ROLES, BEFORE}


def test_no_role_may_more_than_what_is_granted_to_it(fresh_database: FreshDatabase) -> None:
    """No attribute or membership adds rights: the roles' group has none and can't sign in."""
    attributes = fresh_database.query_rows(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
        " AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR NOT rolcanlogin)",
        [*OWN_ROLES, BEFORE],
    )
    memberships = fresh_database.query_rows(
        "SELECT m.member::regrole::text AS member, m.roleid::regrole::text AS role FROM pg_auth_members m"
        " WHERE m.member::regrole::text = ANY(%s)",
        [*OWN_ROLES, BEFORE],
    )
    assert attributes == []
    assert {row["role"] for row in memberships} == {"interdomestik_functions"}
    assert {row["member"] for row in memberships} == {*OWN_ROLES, BEFORE}
    assert fresh_database.query_rows(
        "SELECT rolcanlogin AS may FROM pg_roles WHERE rolname = 'interdomestik_functions'"
    ) == [{"may": False}]


def test_sessions_of_every_role_have_the_settings_of_the_functions(fresh_database: FreshDatabase) -> None:
    """A statement ends after 10 s, an idle transaction after 15 s, and times are UTC."""
    expected = ["TimeZone=UTC", "idle_in_transaction_session_timeout=15s", "statement_timeout=10s"]
    rows = fresh_database.query_rows(
        "SELECT rolname, rolconfig FROM pg_roles WHERE rolname = ANY(%s)", [*OWN_ROLES, BEFORE]
    )
    assert {row["rolname"]: sorted(row["rolconfig"]) for row in rows} == dict.fromkeys([*OWN_ROLES, BEFORE], expected)


def test_functions_with_their_owners_rights_are_open_to_those_who_call_them(fresh_database: FreshDatabase) -> None:
    """They run in a search path that their caller can't choose; those that only triggers call are open to nobody."""
    rows = fresh_database.query_rows(DEFINERS)
    assert {row["name"]: row["callers"] for row in rows} == CALLERS
    assert [row["name"] for row in rows if row["open"]] == []
    assert {str(row["config"]) for row in rows} == {"['search_path=pg_catalog, public, pg_temp']"}


def find_refusal(fresh_database: FreshDatabase, role: str, statement: str) -> str | None:
    """Return the SQLSTATE with which PostgreSQL refuses a role's statement, None where it does not."""
    with psycopg.connect(fresh_database.postgres.build_conninfo(user=role, dbname=fresh_database.name)) as connection:
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            return error.sqlstate
        finally:
            connection.rollback()
    return None


FORBIDDEN = "42501"
# What health may read: of a job that it waits, since when, and how it ended, and which migrations are applied. A job's
# last error is a code.
READ_BY_HEALTH = {
    "outbox": {"kind", "priority", "state", "begun", "last_error", "created_at", "replayed_at", "updated_at"},
    "schema_migrations": {"version"},
}


@pytest.mark.parametrize("relation", sorted(ROLES[BEFORE]))
def test_health_reads_no_record_and_writes_nothing(fresh_database: FreshDatabase, relation: str) -> None:
    """It counts jobs: no name, no address, no word of a mail, and no change to anything."""
    if "usage" in ROLES[BEFORE][relation]:
        assert find_refusal(fresh_database, "interdomestik_health", f"SELECT nextval('{relation}')") == FORBIDDEN
        return
    columns = fresh_database.query_rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped", relation
    )
    read = {
        row["attname"]
        for row in columns
        if find_refusal(fresh_database, "interdomestik_health", f'SELECT "{row["attname"]}" FROM {relation}') is None
    }
    assert read == READ_BY_HEALTH.get(relation, set())
    for write in ("DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES", "TRUNCATE {}"):
        assert find_refusal(fresh_database, "interdomestik_health", write.format(relation)) is not None
    name = columns[0]["attname"]
    assert (
        find_refusal(fresh_database, "interdomestik_health", f'UPDATE {relation} SET "{name}" = "{name}"') is not None
    )


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("health", "SELECT authorize('staff-1', ARRAY['staff'], NULL, NULL)"),
        ("health", "SELECT with_mail_facts(gen_random_uuid(), '{}')"),
        ("health", "SELECT mail_facts(gen_random_uuid(), '{}')"),
        ("health", "SELECT sees_record(gen_random_uuid(), 'staff', 'claim', gen_random_uuid())"),
        ("claims", "SELECT * FROM payouts"),
        ("claims", "SELECT * FROM payout_statements"),
        ("claims", "SELECT * FROM commissions"),
        ("claims", "SELECT * FROM agents"),
        ("claims", "SELECT email FROM accounts"),
        ("claims", "SELECT full_name FROM accounts"),
        ("claims", "SELECT * FROM member_search"),
        ("agents", "SELECT * FROM member_search"),
        ("members", "DELETE FROM member_search"),
        ("claims", "SELECT payload FROM outbox"),
        ("claims", "UPDATE accounts SET role = 'admin'"),
        ("claims", "UPDATE claim_history SET reason = ''"),
        ("agents", "SELECT title FROM claims"),
        ("agents", "SELECT * FROM claim_view"),
        ("agents", "UPDATE accounts SET role = 'admin'"),
        ("agents", "UPDATE accounts SET identity_sub = 'other'"),
        ("agents", "UPDATE commissions SET amount = 1000"),
        ("agents", "DELETE FROM payouts"),
        ("members", "SELECT * FROM claims"),
        ("members", "SELECT payload FROM outbox"),
        ("members", "SELECT * FROM payouts"),
        ("members", "UPDATE agents SET commission_rate = 1"),
        ("members", "UPDATE accounts SET email = 'other@example.test'"),
        ("members", "UPDATE commissions SET amount = 1000"),
        ("jobs", "SELECT * FROM members"),
        ("jobs", "SELECT email FROM accounts"),
        ("jobs", "INSERT INTO outbox DEFAULT VALUES"),
        ("relay", "SELECT payload FROM outbox"),
        ("relay", "SELECT id FROM accounts"),
        ("worker", "UPDATE accounts SET role = 'admin'"),
        ("worker", "SELECT full_name FROM accounts"),
        ("worker", "SELECT * FROM claims"),
        ("housekeeping", "SELECT id FROM accounts"),
        ("housekeeping", "SELECT description FROM claims"),
        ("housekeeping", "SELECT answer FROM idempotency_keys"),
        ("housekeeping", "SELECT payload FROM outbox"),
    ],
)
def test_a_role_can_not_do_what_is_another_functions_work(
    fresh_database: FreshDatabase, role: str, statement: str
) -> None:
    """PostgreSQL refuses it, whatever the function's code would do."""
    assert find_refusal(fresh_database, f"interdomestik_{role}", statement) == FORBIDDEN


@pytest.mark.parametrize("role", OWN_ROLES)
def test_no_role_changes_what_was_written_down(fresh_database: FreshDatabase, role: str) -> None:
    """No role can change the audit or the schema."""
    for statement in ("UPDATE audit SET actor = ''", "DELETE FROM audit", "SELECT facts FROM audit",
                      "CREATE TABLE mine (id int)", "ALTER TABLE audit DISABLE TRIGGER ALL"):  # fmt: skip
        assert find_refusal(fresh_database, role, statement) == FORBIDDEN, statement


class ConnectorBefore(RoleConnector):
    """Connects as handlers of the release before do, whatever function asks."""

    def borrow(self, within_s: float) -> Any:
        """See Connector."""
        self._holder_in_use = self.get_connector(BEFORE)
        return self._holder_in_use.borrow(within_s)


# Operators' commands connect as the schema's owner; this one also moves sequences, which no other role may.
@pytest.mark.parametrize("name", sorted(ACTS.keys() - {"reconcile-restore"}))
def test_what_connects_as_before_still_works(fresh_database: FreshDatabase, name: str) -> None:
    """During a deployment the handlers of the previous release run on the new schema."""
    evidence = FakeDocumentStore()
    sample = write_sample_records(fresh_database, evidence, random.Random(0))
    database = Database(ConnectorBefore(fresh_database.settings))
    assert has_succeeded(
        ACTS[name](OperationEnvironment(sample, fresh_database.settings, database, evidence, own="before"))
    )
