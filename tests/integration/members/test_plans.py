"""Search and lists go by their indexes: no page is found by reading a whole table.

At a million rows each comes within 100 ms (tests/chaos/test_million_rows.py). Here the plans are looked at, on as many
rows as make PostgreSQL choose as it does then.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from claims.service import SQL as CLAIMS
from health.service import SQL as HEALTH
from jobs_api.service import NOT_BEGUN
from jobs_api.service import SQL as JOBS
from members.service import SQL as MEMBERS
from members.service import _split_name
from operations.held_jobs import SQL as HELD
from shared.api.pagination import LAST_ID
from tests.databases import FreshDatabase

ROWS = 30_000
# One member in three is a Besa, and each has a family name of their own.
FILL = """
INSERT INTO accounts (id, role, email, full_name, phone, language)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'member', 'm' || n || '@example.test',
       (ARRAY['Besa', 'Arta', 'Drita'])[1 + n %% 3] || ' Ho' || translate(n::text, '0123456789', 'aeioutrnsl') || 'aj',
       '+3834' || lpad((n * 7919)::text, 9, '0'), 'sq'
FROM generate_series(1, %(rows)s) n;
INSERT INTO members (id, number, country)
SELECT id, 'MEM-2026-' || row_number() OVER (ORDER BY id) + 1000000, 'XK' FROM accounts WHERE role = 'member';
INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, anchor_on, period_starts_on, renewed_on,
                           price, currency)
SELECT id, id, 'family', 'active', '2026-11-24', '2027-11-23', '2026-11-24', '2026-11-24', '2026-11-24', 35, 'EUR'
FROM members;
INSERT INTO member_search SELECT id, make_search_text(full_name), phone FROM accounts WHERE role = 'member';
INSERT INTO claims (id, number, member_id, category, title, company_name, description, incident_date, incident_country,
                    amount, currency)
SELECT id, replace(number, 'MEM', 'CLM'), id, 'travel', 'Late flight', 'Example Air', 'It never came.', '2026-11-02',
       'CH', 250, 'EUR' FROM members;
INSERT INTO outbox (id, kind, priority, subject_id, payload, state, last_error)
SELECT id, 'mail', 'normal', id, '{{}}', CASE WHEN n %% 1000 = 0 THEN 'pending' WHEN n %% 1000 = 1 THEN 'failed'
       WHEN n %% 1000 = 2 THEN 'running' ELSE 'done' END, CASE WHEN n %% 2000 = 0 THEN 'circuit-open' END
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM members) m;
"""


@pytest.fixture(scope="module")
def connection(fresh_database: FreshDatabase) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection to a database with many members, claims and jobs."""
    conninfo = fresh_database.postgres.build_conninfo(user="postgres", dbname=fresh_database.name)
    with psycopg.connect(conninfo, autocommit=True, prepare_threshold=None) as opened:
        opened.execute("SET session_replication_role = replica")
        opened.execute(FILL.replace("%(rows)s", str(ROWS)).replace("%%", "%").replace("{{}}", "{}").encode())
        opened.execute("VACUUM ANALYZE accounts, members, subscriptions, claims, member_search, outbox")
        yield opened


def list_scans(connection: psycopg.Connection[Any], query: str, params: Mapping[str, object]) -> set[tuple[str, str]]:
    """Return how a statement finds rows: by which index, or by which table read as a whole."""
    [(explained,)] = connection.execute(f"EXPLAIN (FORMAT JSON) {query}".encode(), params).fetchall()
    [plan] = explained if isinstance(explained, list) else json.loads(explained)
    return set(_walk_scans(plan["Plan"]))


def _walk_scans(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "Index Name" in node:
        yield node["Node Type"], node["Index Name"]
    elif "Relation Name" in node and node["Node Type"] not in ("Bitmap Heap Scan", "ModifyTable"):
        yield node["Node Type"], node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _walk_scans(child)


def list_indexes(scans: set[tuple[str, str]]) -> set[str]:
    """Return the indexes of scans, none of which may read one of the big tables as a whole."""
    big = {"accounts", "members", "subscriptions", "member_search", "claims", "outbox"}
    assert {name for how, name in scans if "Index" not in how} & big == set()
    return {name for how, name in scans if "Index" in how}


def build_search(**query: str) -> dict[str, object]:
    """Return the parameters of a first page of members."""
    base = {"number": None, "email": None, "today": date(2026, 11, 27), "after": LAST_ID, "count": 21}
    return {**base, **_split_name(query.get("name")), "phone": query.get("phone")}


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"name": "hoeioutaj"}, "member_search_names"),
        ({"name": "eiout"}, "member_search_names"),
        ({"name": "besa hoeiout"}, "member_search_names"),
        ({"name": "nobody"}, "member_search_names"),
        ({"name": "Беса"}, "member_search_pkey"),
        ({"name": "be"}, "member_search_pkey"),
        ({"phone": "12345678"}, "member_search_phone"),
        ({"phone": "+383"}, "member_search_pkey"),
    ],
)
def test_members_with_rare_parts_are_found_by_letters_and_frequent_ones_from_the_newest_on(
    connection: psycopg.Connection[Any], query: dict[str, str], index: str
) -> None:
    """The page is cut before members are joined, each by its id."""
    indexes = list_indexes(list_scans(connection, MEMBERS["found_members"], build_search(**query)))
    assert index in indexes
    assert indexes - {index} == {"members_pkey", "accounts_pkey", "subscriptions_member_key"}


CLAIM_FILTERS: dict[str, object] = {
    "number": None, "member_id": None, "state": None, "assignee": None, "stuck": None, "after": LAST_ID, "count": 21,
    "staff": True, "sub": "staff-1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"number": "CLM-2026-1000007"}, "claims_number_key"),
        ({"member_id": "00000000-0000-0000-0000-000000000007"}, "claims_by_member"),
        ({"state": "court"}, "claims_by_state"),
        ({}, "claims_pkey"),
    ],
)
def test_claims_are_found_by_their_filters_index(
    connection: psycopg.Connection[Any], query: dict[str, object], index: str
) -> None:
    """The member of each claim is found by its id."""
    indexes = list_indexes(list_scans(connection, CLAIMS["claims"], {**CLAIM_FILTERS, **query}))
    assert {index, "members_pkey"} <= indexes


@pytest.mark.parametrize(
    ("states", "index"),
    [(list(NOT_BEGUN), "outbox_pending"), (["running"], "outbox_trouble"), (["failed"], "outbox_trouble")],
)
def test_jobs_that_are_not_done_are_found_among_many_that_are(
    connection: psycopg.Connection[Any], states: list[str], index: str
) -> None:
    """The index has only such jobs."""
    params = {"states": states, "after": LAST_ID, "count": 21}
    assert list_indexes(list_scans(connection, JOBS["jobs"], params)) == {index}


def test_held_jobs_are_counted_by_an_index_of_them_alone(connection: psycopg.Connection[Any]) -> None:
    """Operators count them before they release them, and the health report does each minute."""
    assert list_indexes(list_scans(connection, HELD["held_jobs"], {})) == {"outbox_held"}
    released = list_indexes(list_scans(connection, HELD["release_held_jobs"], {"kind": "mail"}))
    assert released == {"outbox_held", "outbox_pkey"}
    health = list_scans(connection, HEALTH["jobs"], {"most": 100, "look_back": timedelta(minutes=20)})
    assert "outbox_held" in {name for _, name in health}
