"""A session is pinned by its statements, and only by those that leave state."""

from pathlib import Path

import pytest

from local.database_proxy.framing import ProtocolMessage, build_message, build_query
from local.database_proxy.session_pinning import LONGEST_STATEMENT, find_pin_reason
from shared.sql import parse_queries
from tests.services import ROOT

PINS = {
    "SET work_mem = '1MB'": "SET",
    "set local statement_timeout = 5": "SET",
    "  /* why */ SET TIME ZONE 'UTC'": "SET",
    "-- why\nRESET ALL": "RESET",
    "SELECT 1; SET search_path = x": "SET",
    "SELECT set_config('work_mem', '1MB', true)": "set_config()",
    "PREPARE p AS SELECT 1": "PREPARE",
    "EXECUTE p": "EXECUTE",
    "DEALLOCATE ALL": "DEALLOCATE",
    "DISCARD ALL": "DISCARD",
    "DECLARE c CURSOR FOR SELECT 1": "DECLARE",
    "LISTEN jobs": "LISTEN",
    "LOAD 'auto_explain'": "LOAD",
    "CREATE TEMP TABLE t (id int)": "temporary object",
    "CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1": "temporary object",
    "create local temp sequence s": "temporary object",
    "SELECT 1 INTO TEMP t": "temporary object",
    "SELECT nextval('member_numbers')": "nextval()",
    "SELECT pg_catalog.setval ('s', 1)": "setval()",
    "SELECT currval('s')": "currval()",
    "SELECT lastval()": "lastval()",
    "SELECT pg_advisory_lock(1)": "pg_advisory_lock()",
    "SELECT pg_try_advisory_lock_shared(1)": "pg_try_advisory_lock_shared()",
    "SELECT pg_advisory_unlock_all()": "pg_advisory_unlock_all()",
    "SELECT '" + "x" * LONGEST_STATEMENT + "'": "statement over 16 KB",
}
FREE = [
    "SELECT 1",
    "UPDATE members SET version = 2",
    "INSERT INTO outbox (payload) VALUES ('{\"SET\": \"nextval(''x'')\"}')",
    "SELECT 'a;SET x'",
    "SELECT $$ ; SET x $$, $tag$ ; LISTEN y $tag$, E'\\'; SET z'",
    'SELECT 1 AS "; SET x"',
    "SELECT 1 -- ; SET x",
    "SELECT offset_config(1), mynextval (2)",
    "SELECT pg_advisory_xact_lock(1)",
    "LOCK TABLE schema_migrations IN EXCLUSIVE MODE",
    "SELECT temp FROM weather",
    "BEGIN",
    "COMMIT",
]


def parse(text: str, name: bytes = b"") -> ProtocolMessage:
    return ProtocolMessage(b"P", build_message(b"P", name + b"\0" + text.encode() + b"\0\0\0"))


@pytest.mark.parametrize(("text", "reason"), PINS.items(), ids=list(PINS.values()))
def test_what_leaves_state_in_its_session_pins(text: str, reason: str) -> None:
    """Both protocols pin; the reason names the cause and none of its values."""
    assert [find_pin_reason(ProtocolMessage(b"Q", build_query(text))), find_pin_reason(parse(text))] == [reason, reason]


@pytest.mark.parametrize("text", FREE)
def test_what_leaves_nothing_does_not_pin(text: str) -> None:
    """Strings, quoted names and comments that look like such a statement don't count."""
    assert [find_pin_reason(ProtocolMessage(b"Q", build_query(text))), find_pin_reason(parse(text))] == [None, None]


def test_named_statements_and_portals_pin() -> None:
    """Statements without a name don't: the next one replaces them."""
    assert find_pin_reason(parse("SELECT 1", b"s1")) == "named statement"
    assert find_pin_reason(ProtocolMessage(b"B", build_message(b"B", b"portal\0\0"))) == "named portal"
    assert find_pin_reason(ProtocolMessage(b"B", build_message(b"B", b"\0\0"))) is None


# Without what the Data API runs, past the proxy.
SQL = [
    path
    for path in [*ROOT.glob("functions/*/*/*.sql"), *ROOT.glob("layers/shared/shared/*/*.sql")]
    if path.parent.name != "database_setup"
]


@pytest.mark.parametrize("path", sorted(SQL), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_statement_of_ours_pins(path: Path) -> None:
    """Read from where they stand, whether a test runs them or not."""
    for name, text in parse_queries(path.read_text()).items():
        assert find_pin_reason(parse(text)) is None, name
