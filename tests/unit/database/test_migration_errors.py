"""The words that operators read of a failed migration: names and codes, no row and no password."""

import psycopg
import pytest
from psycopg import errors as pg

from shared.database.migration_errors import REASON_CHARACTERS, describe_connect_error, describe_database_error
from tests.unit.database.database_errors import make_error


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (
            make_error(pg.UndefinedColumn, message_primary='column "x" does not exist', column_name="x"),
            'UndefinedColumn (SQLSTATE 42703, column x): column "x" does not exist',
        ),
        (
            make_error(
                pg.UniqueViolation,
                message_primary="Key (email)=(besa@example.test) already exists",
                table_name="accounts",
                constraint_name="accounts_email_key",
            ),
            "UniqueViolation (SQLSTATE 23505, table accounts, constraint accounts_email_key)",
        ),
        (
            make_error(pg.InvalidTextRepresentation, message_primary="'besa'", datatype_name="uuid"),
            "InvalidTextRepresentation (SQLSTATE 22P02, datatype uuid)",
        ),
        (psycopg.OperationalError("the connection is lost"), "OperationalError (no SQLSTATE)"),
    ],
)
def test_an_error_is_described_by_its_names_and_quoted_if_it_quotes_no_row(
    error: psycopg.Error, described: str
) -> None:
    """The class of its SQLSTATE decides."""
    assert describe_database_error(error) == described


def test_a_description_is_not_longer_than_cloudformation_shows() -> None:
    """It cuts what is longer."""
    error = make_error(pg.UndefinedColumn, message_primary="x" * 2 * REASON_CHARACTERS)
    assert len(describe_database_error(error)) == REASON_CHARACTERS
    assert len(describe_connect_error(psycopg.Error("x" * 2 * REASON_CHARACTERS), redact=None)) == REASON_CHARACTERS


def test_a_connection_that_failed_is_described_in_one_line_without_the_password() -> None:
    """The line has libpq's words."""
    error = psycopg.OperationalError("connection failed:\n\tsecret  is wrong")
    assert describe_connect_error(error, redact="secret") == "connection failed: *** is wrong"
    assert describe_connect_error(error, redact=None) == "connection failed: secret is wrong"
