"""An audit entry is one statement of the transaction that it documents."""

import json
from datetime import date
from uuid import UUID

from shared.outbox.audit import NO_RECORD, SQL, Actor, record_audit, record_migrations
from tests.fakes.transactions import ScriptedTransaction

CLAIM = UUID(int=8)


def test_an_entry_says_who_did_what_to_which_record() -> None:
    """It says in which request and what changed; a fact that JSON can't express is written as text."""
    tx = ScriptedTransaction()
    record_audit(tx, Actor("sub-1", "r-1"), "claim.moved", CLAIM, if_written="claims", ends=date(2026, 11, 27), n=1)
    [statement] = tx.statements
    assert statement.query == SQL["record"]
    params = dict(statement.params)
    assert isinstance(params.pop("id"), UUID)
    assert json.loads(str(params.pop("facts"))) == {"ends": "2026-11-27", "n": 1}
    assert params == {
        "action": "claim.moved",
        "subject_id": CLAIM,
        "actor": "sub-1",
        "request_id": "r-1",
        "if_written": "claims",
    }


def test_an_entry_about_a_persons_own_account_names_no_record() -> None:
    """The database finds the account of a `sub`; nobody signed in is anonymous."""
    tx = ScriptedTransaction()
    record_audit(tx, Actor(None, "r-1"), "member.registered", None)
    [statement] = tx.statements
    assert (statement.params["actor"], statement.params["subject_id"]) == ("anonymous", None)
    assert (statement.params["facts"], statement.params["if_written"]) == ("{}", None)


def test_the_entry_of_the_migrations_is_about_no_record() -> None:
    """Its author is the deployment."""
    tx = ScriptedTransaction()
    assert record_migrations(tx, actor="deployment", request_id="r-2").resolve() is None
    [statement] = tx.statements
    assert statement.query == SQL["record_migrations"]
    params = dict(statement.params)
    assert isinstance(params.pop("id"), UUID)
    assert params == {"subject": NO_RECORD, "actor": "deployment", "request_id": "r-2"}
    assert UUID(int=0) == NO_RECORD
