"""The meaning of database errors: an answer to the request, worth another attempt, or neither.

While connecting every error has `sqlstate=None`, so class and message decide; afterwards SQLSTATE decides. A lost
connection never tells whether a commit was done: the next attempt finds the first one's result by its key. In a
pipeline, an error at the end of the transaction and a session's last message have no SQLSTATE either: psycopg (3.3)
then reports that it can't end the pipeline, so the connection is dropped like a lost one. Each case is tested on a real
server in tests/integration/shared/test_failures*.py.
"""

import psycopg
from psycopg import errors as pg

from shared.errors import Refusal, Unavailable

REQUIRE_FAILED = "IR001"  # raised by require() (migrations), with the problem's name as its message
KEY_CONSTRAINT = "idempotency_keys_pkey"

CONSTRAINT_PROBLEMS = {
    "accounts_email_key": "email-taken",
    "accounts_identity_sub_key": "identity-taken",
    "agents_referral_code_key": "referral-code-taken",
    "documents_slot_key": "too-many-documents",
}

_RETRYABLE_STATES = frozenset(
    {
        "40001",  # serialization failure
        "40P01",  # deadlock
        "55P03",  # lock not available
        "25006",  # read-only: the connection leads to a demoted writer
    }
)
_READ_ONLY = "25006"
_LOST_CLASSES = ("08", "57P0")  # connection exceptions; the server ended the session (shutdown, crash, too long idle)

# Messages of the server or the proxy for a sign-in that it will never accept: waiting does not fix a password, a role,
# a missing database or a startup option. Another attempt would only add failed sign-ins; an operator has to act.
_SIGN_IN_REFUSED = (
    "authentication failed",  # of a password; RDS uses it for IAM tokens too
    "no password supplied",
    "does not exist",  # the role, the database
    "is not permitted to log in",
    "pg_hba.conf",
    "permission denied for database",
    "does not support SSL",
    "requires TLS",  # RDS Proxy
    "certificate verify failed",  # it chains to none of our roots
    "does not match host name",
    "root certificate file",  # it is not there, or holds no certificate
    "Feature not supported",
)


class KeyConflict(Exception):
    """The transaction's idempotency key already exists."""


def is_retryable(error: psycopg.Error) -> bool:
    """Return whether the whole transaction may be attempted again."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError) and not _is_sign_in_refused(error)
    return state in _RETRYABLE_STATES or state.startswith(_LOST_CLASSES)


def is_connection_lost(error: psycopg.Error) -> bool:
    """Return whether the error means that the connection has to be dropped."""
    state = error.sqlstate
    return state is None or state == _READ_ONLY or state.startswith(_LOST_CLASSES)


def convert_to_answer(error: psycopg.Error) -> Exception | None:
    """Return the refusal, conflict or outage that the error stands for; None if it is not an answer."""
    if error.sqlstate == REQUIRE_FAILED:
        return Refusal(error.diag.message_primary or "internal")
    if isinstance(error, pg.QueryCanceled):
        # statement_timeout: everything is rolled back. There is no second attempt: the first took its time, and a
        # database that is slow because it is overloaded gets slower by repetition.
        return Unavailable("database")
    if isinstance(error, pg.UniqueViolation):
        constraint = error.diag.constraint_name or ""
        if constraint == KEY_CONSTRAINT:
            return KeyConflict()
        if constraint in CONSTRAINT_PROBLEMS:
            return Refusal(CONSTRAINT_PROBLEMS[constraint])
    return None


# By SQLSTATE class: invalid data, a violated constraint, a statement that is not permitted, a trigger's exception.
_PERMANENT_CLASSES = ("22", "23", "42", "P0")


def find_permanent_code(error: Exception) -> str | None:
    """Return the code of a database error that the same statements would meet again, None for any other exception.

    The code names the constraint if there is one, and never quotes a row.
    """
    if not isinstance(error, psycopg.Error) or not (error.sqlstate or "").startswith(_PERMANENT_CLASSES):
        return None
    return f"database-{error.diag.constraint_name or error.sqlstate}"


def _is_sign_in_refused(error: psycopg.Error) -> bool:
    message = str(error)
    return any(words in message for words in _SIGN_IN_REFUSED)
