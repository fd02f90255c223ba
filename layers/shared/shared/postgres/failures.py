"""What a database error means: an answer, worth another try, or neither.

While connecting every failure has `sqlstate=None`, so there the class decides; afterwards SQLSTATE does.
A lost connection never tells whether a commit was done: the retry finds its own first try by its key.
"""

import psycopg
from psycopg import errors as pg

from shared.errors import Refusal

REQUIRE_FAILED = "IR001"  # raised by require() in the migrations, with the problem's name as its message
KEY_CONSTRAINT = "idempotency_keys_pkey"

CONSTRAINT_PROBLEMS = {
    "accounts_email_key": "email-taken",
    "agents_referral_code_key": "referral-code-taken",
    "documents_slot_key": "too-many-documents",
}

_RETRYABLE_STATES = frozenset(
    {
        "40001",  # serialization failure
        "40P01",  # deadlock
        "55P03",  # lock not available
        "25006",  # read-only: we sit on a demoted writer
        "57P01",  # admin shutdown
        "57P02",  # crash shutdown
        "57P03",  # cannot connect now
    }
)
_DROP_STATES = frozenset({"25006", "57P01", "57P02", "57P03"})


class KeyConflict(Exception):
    """The transaction's idempotency key exists already."""


def is_retryable(error: psycopg.Error) -> bool:
    """Whether the whole transaction may be tried again."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate in _RETRYABLE_STATES or error.sqlstate.startswith("08")


def must_drop(error: psycopg.Error) -> bool:
    """Whether the connection it came on is to be left."""
    state = error.sqlstate
    return state is None or state in _DROP_STATES or state.startswith("08")


def as_answer(error: psycopg.Error) -> Exception | None:
    """The refusal or conflict that the error stands for; None where it is no answer."""
    if error.sqlstate == REQUIRE_FAILED:
        return Refusal(error.diag.message_primary or "internal")
    if isinstance(error, pg.UniqueViolation):
        constraint = error.diag.constraint_name or ""
        if constraint == KEY_CONSTRAINT:
            return KeyConflict()
        if constraint in CONSTRAINT_PROBLEMS:
            return Refusal(CONSTRAINT_PROBLEMS[constraint])
    return None
