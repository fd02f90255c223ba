"""Errors of psycopg as a server makes them."""

from types import SimpleNamespace

import psycopg


def make_error(kind: type[psycopg.Error], message: str = "", **diagnosis: str | None) -> psycopg.Error:
    """Return an error of a class of psycopg's, with what the server says about it besides."""
    known = dict.fromkeys(("message_primary", "table_name", "column_name", "constraint_name", "datatype_name"))
    made = type(kind.__name__, (kind,), {"diag": SimpleNamespace(**(known | diagnosis))})
    error: psycopg.Error = made(message)
    return error
