"""The schema that the migrations make has the numbers that tests/settings states, and no others."""

from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from tests.databases import FreshDatabase
from tests.settings.sql_numbers import list_numbers
from tests.settings.test_sql_numbers import SCHEMA

# What PostgreSQL itself says of each part of the schema that may hold a number.
PARTS = """
SELECT 'function ' || proname AS part, coalesce(pg_get_function_sqlbody(oid), prosrc) AS text FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'view ' || relname, pg_get_viewdef(oid) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
UNION ALL
SELECT 'index ' || relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger ' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'table ' || conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'f'
UNION ALL
SELECT 'table ' || attrelid::regclass, 'SET STATISTICS ' || attstattarget
FROM pg_attribute WHERE attstattarget > 0 AND attrelid IN (
    SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p'))
UNION ALL
SELECT 'table ' || attrelid::regclass,
       format_type(atttypid, atttypmod) || ' ' || coalesce(pg_get_expr(adbin, adrelid), '')
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT attisdropped AND attrelid IN (
    SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p'))
"""
# Of columns and constraints that a later migration has changed; the quick test reads them still.
FORMER = {"table claims": {"14"}}
PLANS = {"basic": ("15.00", "1 person"), "standard": ("20.00", "1 person"), "family": ("35.00", "5 people"),
         "business": ("95.00", "10 vehicles or properties")}  # fmt: skip
DAYS_IN_A_STATE = {
    "submitted": (2, 3), "verification": (5, 7), "evaluation": (3, 5), "negotiation": (7, 14), "court": (30, None),
    "resolved": (None, None), "rejected": (None, None), "withdrawn": (None, None),
}  # fmt: skip


def find_numbers(fresh_database: FreshDatabase) -> dict[str, set[str]]:
    """Return the numbers of each part of the schema that has any."""
    found: dict[str, set[str]] = {}
    for row in fresh_database.query_rows(PARTS):
        found.setdefault(row["part"], set()).update(list_numbers(row["text"]))
    return {part: each for part, each in found.items() if each}


def read_stated() -> Mapping[str, set[str]]:
    """Return what tests/settings states of everything but rows."""
    return {part: set(each) - FORMER.get(part, set()) for part, each in SCHEMA.items() if not part.startswith("rows ")}


def test_the_migrated_schema_has_the_numbers_that_are_stated(fresh_database: FreshDatabase) -> None:
    """Functions, views, constraints, columns, indexes and triggers, as PostgreSQL itself lists them."""
    assert find_numbers(fresh_database) == read_stated()


def test_the_plans_have_the_contracts_prices(fresh_database: FreshDatabase) -> None:
    """Prices are in euros; each plan says what it covers."""
    rows = fresh_database.query_rows("SELECT plan, price::text AS price, covers, currency FROM plans")

    assert {row["plan"]: (row["price"], row["covers"]) for row in rows} == PLANS
    assert {row["currency"] for row in rows} == {"EUR"}


def test_claims_are_stuck_and_in_breach_after_the_contracts_days(fresh_database: FreshDatabase) -> None:
    """Each state has its intervals, in days and not in hours."""
    rows = fresh_database.query_rows("SELECT state, stuck_after, breach_after FROM claim_states")

    assert {
        row["state"]: (_count_days(row["stuck_after"]), _count_days(row["breach_after"])) for row in rows
    } == DAYS_IN_A_STATE


def _count_days(interval: Any) -> int | None:
    assert interval is None or interval.seconds == interval.microseconds == 0
    return None if interval is None else int(interval.days)


@pytest.mark.parametrize(
    ("change", "part", "number"),
    [
        ("ALTER TABLE documents ADD CHECK (slot < 77)", "table documents", "77"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 77'", "function f", "77"),
        ("CREATE VIEW w AS SELECT now() - interval '77 days' AS d", "view w", "77 days"),
        ("CREATE INDEX n ON claims (id) WHERE amount > 77", "index n", "77"),
        ("CREATE TABLE t (d timestamptz DEFAULT now() + interval '77 hours')", "table t", "77:00:00"),
        ("ALTER TABLE accounts ADD COLUMN nickname varchar(77)", "table accounts", "77"),
    ],
)
def test_a_new_number_is_found_wherever_it_is(
    fresh_database: FreshDatabase, change: str, part: str, number: str
) -> None:
    """Any kind of statement may bring it in."""
    with psycopg.connect(fresh_database.postgres.build_conninfo(dbname=fresh_database.name)) as connection:
        connection.execute(change.encode())
        rows = connection.execute(PARTS.encode()).fetchall()
        connection.rollback()

    assert number in {each for name, text in rows if name == part for each in list_numbers(text)}
