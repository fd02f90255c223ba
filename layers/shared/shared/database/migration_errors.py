"""The errors of the migrations: why not all of them were applied, in words that an operator may be shown.

No message quotes a row or a password: CloudFormation shows them to everybody who may look at the stack.
"""

import psycopg

REASON_CHARACTERS = 500

# Classes of SQLSTATE whose messages name only parts of the schema and the server. Others, such as 22 (data) and 23
# (constraints), may quote rows.
_CLASSES_WITHOUT_ROWS = ("08", "25", "28", "3D", "3F", "42", "53", "54", "55", "57", "58")
_NAMES = ("table_name", "column_name", "constraint_name", "datatype_name")


class MigrationError(Exception):
    """Not all migrations were applied; those that were stay, and a repetition goes on after them."""


class MigrationChecksumMismatch(MigrationError):
    """A migration was changed after it was applied: write a new one instead."""


class StatementFailed(MigrationError):
    """A statement of a migration failed, and the whole migration was rolled back."""


class MigrationTimedOut(MigrationError):
    """The time was used up, by waiting for another run or for locks, or by the migration itself."""


class DatabaseNotReached(MigrationError):
    """No connection to the database could be opened."""


def describe_database_error(error: psycopg.Error) -> str:
    """Return the class of an error, its SQLSTATE, the names that it is about, and its message if that quotes no row."""
    state = error.sqlstate or ""
    names = [f"{name.removesuffix('_name')} {value}" for name in _NAMES if (value := getattr(error.diag, name))]
    facts = ", ".join([f"SQLSTATE {state}" if state else "no SQLSTATE", *names])
    message = f": {error.diag.message_primary}" if state.startswith(_CLASSES_WITHOUT_ROWS) else ""
    return f"{type(error).__name__} ({facts}){message}"[:REASON_CHARACTERS]


def describe_connect_error(error: psycopg.Error, *, redact: str | None) -> str:
    """Return libpq's message about a failed connection: it names hosts, roles and certificates, and no password."""
    reason = " ".join(str(error).split())
    return (reason.replace(redact, "***") if redact else reason)[:REASON_CHARACTERS]
