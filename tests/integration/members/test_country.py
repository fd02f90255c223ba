"""The stack's country: whom it registers, and what day it is there."""

from datetime import UTC, datetime
from typing import Any

import pytest

from claims.app import api as claims_api
from housekeeping.app import Housekeeper
from members.app import api
from shared.settings import Settings
from tests.api_client import ApiClient, ApiReply
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.clock import ManualClock
from tests.fakes.documents import FakeDocumentStore
from tests.integration.function_client import get_next_serial, make_client, sign_in
from tests.sample_people import make_claim_body, make_person

# Around midnight in all three countries, in winter (UTC+1) and in summer (UTC+2), and around both changes of the clock.
MOMENTS = {
    "2026-12-31T22:59:59": "2026-12-31",
    "2026-12-31T23:30:00": "2027-01-01",
    "2027-12-31T23:00:00": "2028-01-01",
    "2026-06-30T21:59:59": "2026-06-30",
    "2026-06-30T22:00:00": "2026-07-01",
    "2026-03-28T22:59:59": "2026-03-28",
    "2026-03-28T23:00:00": "2026-03-29",
    "2026-03-29T21:59:59": "2026-03-29",
    "2026-03-29T22:00:00": "2026-03-30",
    "2026-10-24T22:00:00": "2026-10-25",
    "2026-10-25T22:59:59": "2026-10-25",
    "2026-10-25T23:00:00": "2026-10-26",
}
COUNTRIES = ("XK", "MK", "AL")


def make_clock(moment: str) -> ManualClock:
    """Return a clock that stands at a moment in UTC."""
    return ManualClock(datetime.fromisoformat(moment).replace(tzinfo=UTC))


def register(client: ApiClient, **changes: Any) -> ApiReply:
    """Register somebody in the client's own country if `changes` names no other."""
    body = make_person(**{"country": client.container.settings.country, **changes})
    return client.call("POST", "/members", body, key=f"key-{get_next_serial()}")


@pytest.mark.parametrize("served", COUNTRIES)
def test_a_registration_for_another_country_is_refused(fresh_database: FreshDatabase, served: Any) -> None:
    """Another stack serves it: 422 names the field, and nothing is written."""
    client = make_client(api, fresh_database, country=served)
    before = fresh_database.count("accounts")
    others = [register(client, country=other) for other in COUNTRIES if other != served]
    assert [(r.status, r.problem, r.pointers) for r in others] == [(422, "invalid-request", ["/country"])] * 2
    assert fresh_database.count("accounts") == before
    assert register(client).status == 201


@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize(("moment", "day"), MOMENTS.items())
def test_a_membership_begins_on_the_day_it_is_there(
    fresh_database: FreshDatabase, country: Any, moment: str, day: str
) -> None:
    """Its number has that day's year, whatever the day is in UTC or the year on the database's clock."""
    reply = register(make_client(api, fresh_database, country=country, clock=make_clock(moment)))
    assert reply.json["membership"]["starts_on"] == day
    assert reply.json["number"].startswith(f"MEM-{day[:4]}-")


def test_a_claims_number_has_the_year_of_its_day(fresh_database: FreshDatabase) -> None:
    """The same half an hour after midnight."""
    clock = make_clock("2026-12-31T23:30:00")
    member = sign_in(fresh_database, register(make_client(api, fresh_database, clock=clock)).json["id"])
    claims = make_client(claims_api, fresh_database, clock=clock).sign_in_as(member)
    reply = claims.call("POST", "/claims", make_claim_body(), key=f"key-{get_next_serial()}")
    assert (reply.status, reply.json["number"][:9]) == (201, "CLM-2027-")


def test_two_registrations_around_midnight_count_on(fresh_database: FreshDatabase) -> None:
    """The counter goes on in the new year: no number is given twice, none is skipped by the change."""
    before, after = (
        register(make_client(api, fresh_database, clock=make_clock(f"2026-12-31T{t}:00:00"))) for t in ("22", "23")
    )
    (year, first), (next_year, second) = (reply.json["number"].split("-")[1:] for reply in (before, after))
    assert (year, next_year, int(second)) == ("2026", "2027", int(first) + 1)


def test_rows_of_code_that_passes_no_day_are_numbered_too(fresh_database: FreshDatabase) -> None:
    """An earlier version of the functions writes such rows on today's schema."""
    fresh_database.query_rows(
        "INSERT INTO accounts (id, role, email, full_name, language)"
        " VALUES (gen_random_uuid(), 'member', 'old@example.test', 'Besa', 'sq')"
    )
    [row] = fresh_database.query_rows(
        "INSERT INTO members (id, country) SELECT id, 'XK' FROM accounts WHERE email = 'old@example.test'"
        " RETURNING number, registered_on = (now() AT TIME ZONE 'Europe/Belgrade')::date AS today, registered_on"
    )
    assert row["today"]
    assert row["number"].startswith(f"MEM-{row['registered_on'].year}-")


@pytest.mark.parametrize(("moment", "state"), [("2027-11-24T22:59:00", "active"), ("2027-11-24T23:01:00", "past_due")])
def test_a_membership_ends_at_midnight_of_its_country(fresh_database: FreshDatabase, moment: str, state: str) -> None:
    """Housekeeping takes the same day as the registration did."""
    member = register(make_client(api, fresh_database)).json["id"]
    fresh_database.query_rows("UPDATE subscriptions SET ends_on = '2027-11-24' WHERE member_id = %s", member)
    Housekeeper(
        fresh_database.make_database(), FakeDocumentStore(), make_clock(moment), "request-1", make_deadline()
    ).run()
    assert fresh_database.query_rows("SELECT state FROM subscriptions WHERE member_id = %s", member) == [
        {"state": state}
    ]


def test_each_country_has_its_zone() -> None:
    """The names are those of the tz database; Kosovo has none of its own there."""
    zones = {country: Settings(country=country).time_zone.key for country in COUNTRIES}
    assert zones == {"XK": "Europe/Belgrade", "MK": "Europe/Skopje", "AL": "Europe/Tirane"}
    assert Settings().country == "XK"
