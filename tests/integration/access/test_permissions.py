"""Every operation, by every kind of caller, on what is theirs, another's or nobody's: as permissions.toml says."""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.app import api as agents_api
from claims.app import api as claims_api
from health.app import api as health_api
from jobs_api.app import api as jobs_api
from members.app import api as members_api
from pages.app import api as pages_api
from shared.api.operation import Operation
from tests.databases import FreshDatabase
from tests.integration.access.callers import CallerFixtures
from tests.measurements import record
from tests.sample_people import make_claim_body, make_person

APIS = (agents_api, members_api, claims_api, jobs_api, health_api, pages_api)
TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("permissions.toml").read_text(encoding="utf-8"))
CALLERS: list[str] = TABLE["callers"].split()
ROWS: dict[str, dict[str, str]] = TABLE["operations"]
NOBODYS = "-"
PICTURE = {"file_name": "a.png", "content_type": "image/png", "size": 600}

# What a call sends: it must be good, so that its status depends only on who calls.
BODIES: dict[str, Callable[[], Any]] = {
    "POST /members": make_person,
    "PATCH /members/me": lambda: {"language": "en"},
    "PATCH /members/{member_id}": lambda: {"language": "en"},
    "POST /agents/{agent_id}/decision": lambda: {"decision": "suspend", "reason": "Checked."},
    "PATCH /agents/{agent_id}": lambda: {"tier": "vip"},
    "POST /commissions/{commission_id}/decision": lambda: {"decision": "approve", "reason": "Checked."},
    "POST /payouts": lambda: {"month": "2026-10"},
    "POST /claims": make_claim_body,
    "POST /claims/{claim_id}/transitions to verification": lambda: {"to": "verification", "reason": "Checked."},
    "POST /claims/{claim_id}/transitions to withdrawn": lambda: {"to": "withdrawn", "reason": "Settled."},
    "PUT /claims/{claim_id}/assignee": lambda: {"staff_id": "me"},
    "POST /claims/{claim_id}/documents": lambda: PICTURE,
    "POST /jobs/{job_id}/dismiss": lambda: {"reason": "not-needed"},
}


def collect_operations() -> dict[str, Operation]:
    """Return every operation of every function, by method and resource."""
    return {f"{method} {resource}": it for api in APIS for (method, resource), it in api.operations.items()}


def drop_variant(row: str) -> str:
    """Return an operation without the words that distinguish its variants."""
    return " ".join(row.split()[:2])


def list_cells(row: str) -> Iterator[tuple[str, str, int]]:
    """Yield the cells of an operation: which record, who calls, and the status they get."""
    for whose, line in ROWS[row].items():
        for caller, status in zip(CALLERS, line.split(), strict=True):
            if status != NOBODYS:
                yield whose, caller, int(status)


@pytest.fixture(scope="module")
def callers(fresh_database: FreshDatabase) -> Iterator[CallerFixtures]:
    """Everybody, and what they have."""
    with CallerFixtures.make_in(fresh_database) as everybody:
        yield everybody


@pytest.mark.parametrize("row", ROWS)
def test_each_caller_gets_the_status_that_the_table_says(callers: CallerFixtures, row: str) -> None:
    """The record is new for each call, and nothing else is wrong with the request."""
    expected = {(whose, caller): status for whose, caller, status in list_cells(row)}
    body = BODIES.get(row, lambda: None)
    found = {(whose, caller): callers.call(caller, drop_variant(row), whose, body()) for whose, caller in expected}
    assert found == expected
    record("permissions", operation=row, cells=len(expected))


def test_every_operation_is_in_the_table() -> None:
    """A new operation needs a decision here, and a removed one is taken out."""
    written = {drop_variant(row) for row in ROWS} | set(TABLE["public"])
    assert written == set(collect_operations())


def test_every_operation_has_a_row_of_each_kind() -> None:
    """A path that names a record has rows for its owner's and a missing one; every other path has one row."""
    for row, lines in ROWS.items():
        kinds = set(lines) - {"own"}
        assert kinds == ({"record", "missing"} if "_id}" in row else {"all"}), row
        assert all(len(line.split()) == len(CALLERS) for line in lines.values()), row


def test_what_is_public_asks_for_no_token() -> None:
    """The public operations are exactly those without sign-in."""
    assert {collect_operations()[name].sign_in for name in TABLE["public"]} == {"none"}
    assert {name for name, it in collect_operations().items() if it.sign_in == "none"} == set(TABLE["public"])


def test_the_table_has_no_hole() -> None:
    """The table has more than 600 cells, and every one is called."""
    count = sum(len(list(list_cells(row))) for row in ROWS)
    record("permission_cells", cells=count, operations=len({drop_variant(row) for row in ROWS}))
    assert count > 600
