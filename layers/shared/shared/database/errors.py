"""The meaning of database errors: an answer, worth another try, or neither.

While connecting every failure has `sqlstate=None`, so there class and message decide; afterwards SQLSTATE does.
A lost connection never tells whether a commit was done: the retry finds its own first try by its key.
In a pipeline what fails at the end of the transaction, and the last words of a session, come without SQLSTATE as well:
psycopg (3.3) then says that it can't end the pipeline, so the connection is left, as a lost one is.
Each case is seen on a real server in tests/integration/shared/test_failures*.py.
"""

import psycopg
from psycopg import errors as pg

from shared.errors import Refusal, Unavailable

REQUIRE_FAILED = "IR001"  # raised by require() in the migrations, with the problem's name as its message
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
        "25006",  # read-only: we sit on a demoted writer
    }
)
_READ_ONLY = "25006"
_LOST_CLASSES = ("08", "57P0")  # connection exceptions; the server ends the session: shutdown, crash, idle for too long

# What the server (or the proxy) says to who it will never let in: no wait mends a password, a role, a database that is
# not there or a startup option. Trying again would only add failed sign-ins; it is for an operator, not for a retry.
_SIGN_IN_REFUSED = (
    "authentication failed",  # by password; RDS says the same of an IAM token
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
    """The transaction's idempotency key exists already."""


def is_retryable(error: psycopg.Error) -> bool:
    """Whether the whole transaction may be tried again."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError) and not _is_sign_in_refused(error)
    return state in _RETRYABLE_STATES or state.startswith(_LOST_CLASSES)


def is_connection_lost(error: psycopg.Error) -> bool:
    """Whether the connection it came on is to be left."""
    state = error.sqlstate
    return state is None or state == _READ_ONLY or state.startswith(_LOST_CLASSES)


def convert_to_answer(error: psycopg.Error) -> Exception | None:
    """The refusal, conflict or outage that the error stands for; None where it is no answer."""
    if error.sqlstate == REQUIRE_FAILED:
        return Refusal(error.diag.message_primary or "internal")
    if isinstance(error, pg.QueryCanceled):
        # statement_timeout: all is undone. Not tried again here: it took its time once, and a database that is slow
        # for lack of power gets slower by more of the same.
        return Unavailable("database")
    if isinstance(error, pg.UniqueViolation):
        constraint = error.diag.constraint_name or ""
        if constraint == KEY_CONSTRAINT:
            return KeyConflict()
        if constraint in CONSTRAINT_PROBLEMS:
            return Refusal(CONSTRAINT_PROBLEMS[constraint])
    return None


# By SQLSTATE class: bad data, a violated constraint, a statement the database does not allow, a trigger's exception.
_PERMANENT_CLASSES = ("22", "23", "42", "P0")


def find_permanent_code(error: Exception) -> str | None:
    """Return the code of a database's error that the same statements would meet again, None for any other exception.

    It names the constraint where there is one, and quotes no row.
    """
    if not isinstance(error, psycopg.Error) or not (error.sqlstate or "").startswith(_PERMANENT_CLASSES):
        return None
    return f"database-{error.diag.constraint_name or error.sqlstate}"


def _is_sign_in_refused(error: psycopg.Error) -> bool:
    message = str(error)
    return any(words in message for words in _SIGN_IN_REFUSED)
