"""Rows that were written before memberships had periods, and code of then on the schema of now."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from local.postgres import OWNER
from shared.database.migrate import migrate
from tests.databases import MIGRATIONS, PostgresHandle

PERIODS = "0018_membership_periods"

# As the functions wrote them before that migration.
OLD_MEMBER = """
WITH a AS (
    INSERT INTO accounts (id, role, email, full_name, language)
    VALUES (gen_random_uuid(), 'member', gen_random_uuid() || '@example.test', 'Besa Hoxha', 'sq') RETURNING id
), m AS (
    INSERT INTO members (id, country) SELECT id, 'XK' FROM a RETURNING id)
INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, price, currency, updated_at)
SELECT gen_random_uuid(), id, 'family', %(state)s, %(starts_on)s, %(ends_on)s, 35, 'EUR', %(updated_at)s FROM m
RETURNING id"""
OLD_RENEWAL = """
UPDATE subscriptions s SET
    starts_on = CASE WHEN s.state IN ('canceled', 'expired') THEN %(today)s::date ELSE s.starts_on END,
    ends_on = CASE WHEN s.state IN ('canceled', 'expired') THEN %(today)s::date ELSE s.ends_on END + interval '1 year',
    state = 'active', cancel_at_period_end = false, version = s.version + 1, updated_at = now()
WHERE s.id = %(id)s
RETURNING *"""

TODAY = date.today()  # noqa: DTZ011 - which of two days around midnight does not matter


def add_years(count: int, day: date = TODAY) -> date:
    """Return the date `count` years after a day, which is not 29 February."""
    return (day - timedelta(days=1) if (day.month, day.day) == (2, 29) else day).replace(year=day.year + count)


class OldSchemaDatabase:
    """A database of a state of the schema, as its owner sees it."""

    def __init__(self, conninfo: str, folder: Path) -> None:
        for file in sorted(MIGRATIONS.glob("[0-9]*.sql")):
            if file.stem < PERIODS:
                shutil.copy(file, folder)
        migrate(conninfo, folder)
        self.conninfo = conninfo

    def run(self, query: str, **params: object) -> dict[str, Any]:
        """Run a statement; return its one row."""
        with psycopg.connect(self.conninfo, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), params).fetchone() or {}

    def add(self, starts_on: date, ends_on: date, state: str = "active", updated_at: object = TODAY) -> Any:
        """Add a membership; return its id."""
        row = {"starts_on": starts_on, "ends_on": ends_on, "state": state, "updated_at": updated_at}
        return self.run(OLD_MEMBER, **row)["id"]

    def look(self, subscription: object) -> dict[str, Any]:
        """Return its row now."""
        return self.run("SELECT * FROM subscriptions WHERE id = %(id)s", id=subscription)

    def upgrade(self) -> None:
        """Apply what is missing."""
        assert PERIODS in migrate(self.conninfo, MIGRATIONS)


@pytest.fixture
def old_database(postgres: PostgresHandle, request: pytest.FixtureRequest, tmp_path: Path) -> OldSchemaDatabase:
    """Return a database as it was before."""
    name = f"old_{abs(hash(request.node.name)):x}"
    postgres.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
    return OldSchemaDatabase(postgres.build_conninfo(dbname=name), tmp_path)


def test_a_running_membership_loses_the_day_that_was_too_much(old_database: OldSchemaDatabase) -> None:
    """It ends the day before its anniversary, and its years are counted from where it began."""
    begun = TODAY - timedelta(days=40)
    first, third = (
        old_database.add(begun, add_years(1, begun)),
        old_database.add(add_years(-1, begun), add_years(2, begun)),
    )
    old_database.upgrade()
    one, two = old_database.look(first), old_database.look(third)
    assert (one["ends_on"], one["anchor_on"], one["period_starts_on"]) == (
        add_years(1, begun) - timedelta(days=1), begun, begun,
    )  # fmt: skip
    assert (two["ends_on"], two["anchor_on"], two["period_starts_on"]) == (
        add_years(2, begun) - timedelta(days=1), add_years(-1, begun), add_years(1, begun),
    )  # fmt: skip


@pytest.mark.parametrize("state", ["active", "past_due", "canceled", "expired"])
def test_what_ends_today_or_has_ended_keeps_its_end(old_database: OldSchemaDatabase, state: str) -> None:
    """Nobody loses the day they are in, and history stays what it was."""
    ends = [TODAY, TODAY - timedelta(days=1), TODAY - timedelta(days=400)]
    rows = [(old_database.add(add_years(-1, end), end, state), end) for end in ends]
    old_database.upgrade()
    assert [old_database.look(row)["ends_on"] for row, _ in rows] == ends


def test_a_29th_of_february_that_was_lost_comes_back(old_database: OldSchemaDatabase) -> None:
    """Begun on the 29th and renewed to a leap year: the next year begins on the 29th."""
    row = old_database.add(date(2096, 2, 29), date(2104, 2, 28), updated_at="2102-03-01")
    old_database.upgrade()
    assert old_database.look(row)["ends_on"] == date(2104, 2, 28)
    following = old_database.run(
        "SELECT n.* FROM subscriptions s, next_year(s, '2104-02-01') n WHERE s.id = %(id)s", id=row
    )
    assert (following["period_starts_on"], following["ends_on"]) == (date(2104, 2, 29), date(2105, 2, 27))


def test_ends_that_were_absurd_do_not_stop_the_migration(old_database: OldSchemaDatabase) -> None:
    """Nine renewals in a row were taken then: they stay, and no further one is."""
    row = old_database.add(TODAY, add_years(10))
    old_database.upgrade()
    found = old_database.look(row)
    assert (found["ends_on"], found["renewed_on"]) == (add_years(10) - timedelta(days=1), add_years(8))


def test_a_pause_from_before_begins_when_it_was_written(old_database: OldSchemaDatabase) -> None:
    """Paused for 400 days by hand: over when its days are used up."""
    begun = TODAY - timedelta(days=410)
    row = old_database.add(begun, add_years(1, begun), "paused", updated_at=begun + timedelta(days=10))
    old_database.upgrade()
    assert old_database.look(row)["paused_on"] == begun + timedelta(days=10)
    state = "SELECT membership_state(s, %(day)s::date) AS state FROM subscriptions s WHERE id = %(id)s"
    assert old_database.run(state, id=row, day=begun + timedelta(days=99))["state"] == "paused"
    assert old_database.run(state, id=row, day=begun + timedelta(days=100))["state"] == "active"


def test_code_of_before_registers_and_renews_on_the_schema_of_now(old_database: OldSchemaDatabase) -> None:
    """Its rows have periods too; what has lapsed begins anew; a third year is impossible for it as well."""
    old_database.upgrade()
    new, lapsed = old_database.add(TODAY, add_years(1)), old_database.add(add_years(-3), add_years(-2), "expired")
    assert (old_database.look(new)["anchor_on"], old_database.look(new)["period_starts_on"]) == (TODAY, TODAY)
    renewed = old_database.run(OLD_RENEWAL, id=new, today=TODAY)
    assert (renewed["ends_on"], renewed["period_starts_on"]) == (add_years(2), add_years(1) + timedelta(days=1))
    begun = old_database.run(OLD_RENEWAL, id=lapsed, today=TODAY)
    assert (begun["starts_on"], begun["ends_on"], begun["period_starts_on"]) == (TODAY, add_years(1), TODAY)
    with pytest.raises(psycopg.errors.CheckViolation):
        old_database.run(OLD_RENEWAL, id=new, today=TODAY)
