"""Each number in SQL is stated here once more: prices, days, limits that no setting changes; another is a decision."""

import pytest

from tests.settings.sql_numbers import (
    list_current_definitions,
    list_named_statements,
    list_numbers,
    list_schema_numbers,
    list_statement_numbers,
    split_statements,
)

MONEY, RATE = ("12", "2"), ("5", "4")  # digits in all, and those after the point
ONE_MAIL_A_DAY = ("24 hours",)
A_CLAIMS_DOCUMENTS = ("10",)
# The named statements of functions and layer.
STATEMENTS: dict[str, tuple[str, ...]] = {
    "agents/queries.sql:enqueue_received": ONE_MAIL_A_DAY,
    "agents/queries.sql:commission_records": ("1 month",),
    "agents/queries.sql:lock_paid_agents": ("1 month",),
    "agents/queries.sql:pay_out": ("1 month",),
    "claims/queries.sql:transitions": ("32", "32"),  # hex digits of a UUID, which a version is made to look like
    "claims/queries.sql:insert_document": A_CLAIMS_DOCUMENTS,
    "claims/queries.sql:require_free_place": A_CLAIMS_DOCUMENTS,
    "claims/queries.sql:require_not_expiring": ("23 hours",),
    "claims/queries.sql:require_place_for_late_file": A_CLAIMS_DOCUMENTS,
    "claims/queries.sql:record_check": A_CLAIMS_DOCUMENTS,
    "health/queries.sql:server": ("12",),  # characters of the opaque server id
    "housekeeping/queries.sql:remind_members": ("30", "30-days", "7-days"),
    "members/queries.sql:insert_commission": ("2",),  # decimals that it is rounded to
    "members/queries.sql:require_near_end": ("2",),  # years ahead that may be paid
    "members/queries.sql:void_commissions": ("14 days",),
    "operations/reconciliation.sql:unnamed_objects": ("2", "3"),  # the parts of claims/{claim}/{document}/{attempt}
    "outbox/jobs.sql:enqueue_once_a_day": ONE_MAIL_A_DAY,
    "outbox/payload.sql:account_of_job": ("9", "9"),  # where the id begins in account:<id>
}
# The schema after the last migration, and the rows that come with it.
SCHEMA: dict[str, tuple[str, ...]] = {
    "function reading_number": ("6",),
    "function gives_access": ("14",),  # the former has_access; functions of an earlier version use it
    "function grace_days": ("14",),
    "function most_paused_days": ("90",),
    "function reminder_due": ("7", "7-days", "30", "30-days"),
    "function mail_facts": ("36",),  # characters of a UUID
    "function make_search_patterns": ("3", "3"),  # letters of a trigram
    "table member_search": ("3000", "1000"),  # texts of the samples by which plans are chosen
    "table agents": RATE,
    "table plans": MONEY,
    "rows plans": ("15", "20", "35", "5", "95", "10"),  # prices; people and vehicles covered
    "table subscriptions": (*MONEY, "2"),
    "table commissions": (*RATE, *MONEY),
    "table claims": ("2", "14", "2", "3", "10000000000", "3"),
    "rows claim_states": (
        *("2 days", "3 days"),  # submitted: stuck after, breach after
        *("5 days", "7 days"),  # verification
        *("3 days", "5 days"),  # evaluation
        *("7 days", "14 days"),  # negotiation
        "30 days",  # court, which breaches nothing
    ),
    "table documents": (*A_CLAIMS_DOCUMENTS, "10485760"),  # 10 MiB
    "table membership_reminders": ("30-days", "7-days"),
    "table payout_statements": MONEY,
    "view payout_view": ("14", "2"),
}
HOW = "state its numbers in STATEMENTS or SCHEMA of this file, as they are deployed"


def test_every_number_of_a_named_statement_is_the_one_decided_on() -> None:
    """0 and 1 count; every other number is a rule or a form."""
    assert list_statement_numbers() == STATEMENTS, HOW


def test_every_number_of_the_schema_is_the_one_decided_on() -> None:
    """These are the numbers in the migrations' text; an integration test reads those of the database."""
    assert list_schema_numbers() == SCHEMA, HOW


CASES = [
    *((list_named_statements()[name], number) for name, found in STATEMENTS.items() for number in dict.fromkeys(found)),
    *((list_current_definitions()[name], number) for name, found in SCHEMA.items() for number in dict.fromkeys(found)),
]


@pytest.mark.parametrize(("text", "number"), CASES, ids=lambda each: each[:20])
def test_a_change_of_any_number_is_seen(text: str, number: str) -> None:
    """It is changed to another number, and removed."""
    before = list_numbers(text)
    first, rest = number[0], number[1:]
    assert number in before
    assert list_numbers(text.replace(number, f"{first}7{rest}")) != before
    assert list_numbers(text.replace(number, "")) != before


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT now() - interval '36 hours' -- 24 hours before", ("36 hours",)),
        ("SELECT 1, 0, x.a1, $$7$$, 'IR001', %(n9)s, round(a, 2)", ("7", "2")),
        (
            "SELECT '24:00:00'::interval, 0.20, '90-days', '^[A-Z]{3}$', 1 + 5",
            ("24:00:00", "0.20", "90-days", "3", "5"),
        ),
        ("SELECT interval '1 month', interval '1 mon', 1", ("1 month", "1 mon")),
    ],
)
def test_numbers_are_found_however_they_are_written(sql: str, found: tuple[str, ...]) -> None:
    """They stand alone, with a unit, in quotes and in patterns; names and comments don't count."""
    assert list_numbers(sql) == found


def test_statements_end_where_no_quote_is_open() -> None:
    """A function's body has semicolons of its own."""
    sql = "CREATE FUNCTION f() AS $$ BEGIN; END $$; -- that; was it\nINSERT INTO t VALUES ('a;b');"
    assert list(split_statements(sql)) == ["CREATE FUNCTION f() AS $$ BEGIN; END $$", "INSERT INTO t VALUES ('a;b')"]
