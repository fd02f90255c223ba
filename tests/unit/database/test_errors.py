"""The meaning of a database's error: an answer to the request, worth another attempt, or neither."""

import psycopg
import pytest
from psycopg import errors as pg

from shared.database.errors import (
    KeyConflict,
    convert_to_answer,
    find_permanent_code,
    is_connection_lost,
    is_retryable,
)
from shared.errors import Refusal, Unavailable
from tests.unit.database.database_errors import make_error

CONNECTION_REFUSED = psycopg.OperationalError("connection refused")


@pytest.mark.parametrize(
    ("error", "retryable", "lost"),
    [
        (CONNECTION_REFUSED, True, True),
        (psycopg.InterfaceError("closed"), False, True),
        (pg.SerializationFailure(), True, False),
        (pg.DeadlockDetected(), True, False),
        (pg.LockNotAvailable(), True, False),
        (pg.ReadOnlySqlTransaction(), True, True),
        (pg.ConnectionFailure(), True, True),
        (pg.AdminShutdown(), True, True),
        (pg.CrashShutdown(), True, True),
        (pg.IdleSessionTimeout(), True, True),
        (pg.QueryCanceled(), False, False),
        (pg.UniqueViolation(), False, False),
        (pg.UndefinedTable(), False, False),
    ],
)
def test_a_lost_connection_and_a_conflict_are_worth_another_attempt(
    error: psycopg.Error, retryable: bool, lost: bool
) -> None:
    """Only a lost connection is dropped."""
    assert (is_retryable(error), is_connection_lost(error)) == (retryable, lost)


@pytest.mark.parametrize(
    "message",
    [
        'FATAL:  password authentication failed for user "x"',
        "fe_sendauth: no password supplied",
        'FATAL:  role "x" does not exist',
        'FATAL:  role "x" is not permitted to log in',
        "FATAL:  no pg_hba.conf entry for host",
        'FATAL:  permission denied for database "x"',
        "server does not support SSL, but SSL was required",
        "FATAL:  This RDS Proxy requires TLS connections",
        "SSL error: certificate verify failed",
        'server certificate for "x" does not match host name "y"',
        'root certificate file "x" does not exist',
        "FATAL:  Feature not supported: RDS Proxy",
    ],
)
def test_a_sign_in_that_is_refused_is_not_tried_again(message: str) -> None:
    """Waiting mends none of these."""
    assert not is_retryable(psycopg.OperationalError(message))


def test_a_rule_of_the_business_is_a_refusal_by_its_name() -> None:
    """`require()` raises it with a name; without one it is an error of ours."""
    kind = type("RequireFailed", (psycopg.DatabaseError,), {"sqlstate": "IR001"})
    named = convert_to_answer(make_error(kind, message_primary="membership-ended"))
    unnamed = convert_to_answer(make_error(kind))
    assert isinstance(named, Refusal)
    assert isinstance(unnamed, Refusal)
    assert (named.name, unnamed.name) == ("membership-ended", "internal")


@pytest.mark.parametrize(
    ("constraint", "problem"),
    [
        ("accounts_email_key", "email-taken"),
        ("accounts_identity_sub_key", "identity-taken"),
        ("agents_referral_code_key", "referral-code-taken"),
        ("documents_slot_key", "too-many-documents"),
    ],
)
def test_a_constraint_that_clients_can_meet_has_its_problem(constraint: str, problem: str) -> None:
    """They choose the value that is taken."""
    answer = convert_to_answer(make_error(pg.UniqueViolation, constraint_name=constraint))
    assert isinstance(answer, Refusal)
    assert answer.name == problem


def test_a_key_that_exists_is_a_conflict_of_keys() -> None:
    """The first call's answer is found by it."""
    answer = convert_to_answer(make_error(pg.UniqueViolation, constraint_name="idempotency_keys_pkey"))
    assert isinstance(answer, KeyConflict)


def test_a_statement_that_takes_too_long_is_an_outage() -> None:
    """It is not attempted again."""
    answer = convert_to_answer(pg.QueryCanceled())
    assert isinstance(answer, Unavailable)
    assert answer.what == "database"


@pytest.mark.parametrize(
    "error",
    [
        make_error(pg.UniqueViolation, constraint_name="outbox_pkey"),
        make_error(pg.UniqueViolation, constraint_name=None),
        make_error(pg.CheckViolation, constraint_name="accounts_email_key"),
        CONNECTION_REFUSED,
    ],
)
def test_other_errors_are_no_answer(error: psycopg.Error) -> None:
    """They are ours."""
    assert convert_to_answer(error) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (make_error(pg.CheckViolation, constraint_name="accounts_no_sub"), "database-accounts_no_sub"),
        (make_error(pg.InsufficientPrivilege), "database-42501"),
        (make_error(pg.InvalidTextRepresentation), "database-22P02"),
        (make_error(pg.RaiseException), "database-P0001"),
        (make_error(pg.SerializationFailure), None),
        (CONNECTION_REFUSED, None),
        (ValueError(), None),
    ],
)
def test_what_the_same_statements_would_meet_again_has_a_code(error: Exception, code: str | None) -> None:
    """That of the constraint if there is one; other errors may pass."""
    assert find_permanent_code(error) == code
