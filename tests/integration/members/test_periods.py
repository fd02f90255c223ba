"""A membership's periods end on the day before the anniversary; state and access follow from the dates."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.app import api as agents_api
from tests.databases import FreshDatabase
from tests.integration.function_client import get_next_serial, make_client, sign_in
from tests.integration.members.conftest import MembershipFixture

Begin = Callable[[str], MembershipFixture]
GRACE, MOST_PAUSED = 14, 90  # days, as the domain has them


@pytest.mark.parametrize(
    ("first_day", "last_day"),
    [("2026-03-01", "2027-02-28"), ("2027-03-01", "2028-02-29"), ("2026-01-01", "2026-12-31"),
     ("2026-11-24", "2027-11-23"), ("2028-02-29", "2029-02-27"), ("2027-02-28", "2028-02-27")],
)  # fmt: skip
def test_a_year_ends_the_day_before_its_anniversary(start_membership: Begin, first_day: str, last_day: str) -> None:
    """It has 365 or 366 days, both ends included. API and the agent's commission agree."""
    membership = start_membership(first_day)
    assert (membership.read()["starts_on"], membership.read()["ends_on"]) == (first_day, last_day)
    earned = membership.fresh_database.query_rows(
        "SELECT period_starts_on::text FROM commissions WHERE member_id = %s", membership.member_id
    )
    assert earned == [{"period_starts_on": first_day}]


def test_the_29th_of_february_stays_the_anchor(start_membership: Begin) -> None:
    """Renewed four times the year begins on the 29th again: no year is a day short for good, none overlaps."""
    membership = start_membership("2028-02-29")
    ends = [membership.read()["ends_on"]]
    for _ in range(4):
        membership.set_day(ends[-1])
        reply = membership.renew()
        assert reply.status == 201, reply.body
        ends.append(reply.json["membership"]["ends_on"])
    assert ends == ["2029-02-27", "2030-02-27", "2031-02-27", "2032-02-28", "2033-02-27"]
    starts = membership.fresh_database.query_rows(
        "SELECT period_starts_on::text AS day FROM commissions WHERE member_id = %s ORDER BY 1", membership.member_id
    )
    assert [row["day"] for row in starts] == ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]


def test_a_renewal_more_than_two_years_ahead_is_refused(start_membership: Begin) -> None:
    """Nine in a row: one is done, the others leave nothing, and a refusal gives its key back for a later day."""
    membership = start_membership("2026-03-01")
    replies = [membership.post("renewals", key=f"ahead-{n}-{membership.member_id}") for n in range(9)]
    assert [r.status for r in replies] == [201] + [409] * 8
    assert {r.problem for r in replies[1:]} == {"renewal-too-early"}
    assert (membership.read()["ends_on"], membership.read_version()) == ("2028-02-29", 2)
    assert [job["template"] for job in membership.list_mails()] == ["member-welcome", "membership-renewed"]
    membership.set_day("2027-02-27")
    assert (
        membership.post("renewals", key=f"ahead-8-{membership.member_id}").status == 409
    )  # 28 February 2029 is two years and a day
    membership.set_day("2027-02-28")
    assert (
        membership.post("renewals", key=f"ahead-8-{membership.member_id}").json["membership"]["ends_on"] == "2029-02-28"
    )


@pytest.mark.parametrize("end", ["9999-12-31", "2036-11-23", "2029-02-23"])
def test_an_absurd_end_is_impossible_in_the_database(start_membership: Begin, end: str) -> None:
    """The database refuses an end more than two years and the days of a pause after the day of the agreement."""
    membership = start_membership("2026-11-24")
    write = "UPDATE subscriptions SET ends_on = %s, period_starts_on = ends_on + 1 WHERE member_id = %s"
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        membership.fresh_database.query_rows(write, end, membership.member_id)
    assert caught.value.diag.constraint_name == "subscriptions_end_in_reach"
    membership.fresh_database.query_rows(write, "2029-02-22", membership.member_id)


def test_an_ended_membership_begins_anew_with_a_new_anchor(start_membership: Begin) -> None:
    """Dates decide that, although no sweep has called it expired."""
    membership = start_membership("2026-03-01").set_day("2027-06-10")
    reply = membership.renew()
    assert (reply.json["membership"]["starts_on"], reply.json["membership"]["ends_on"]) == ("2027-06-10", "2028-06-09")


def test_in_its_grace_a_membership_goes_on_from_its_end(start_membership: Begin) -> None:
    """The last day of the grace, and no sweep: no day lies between two years."""
    membership = start_membership("2026-03-01").set_day("2027-03-14")
    reply = membership.renew()
    assert (reply.json["membership"]["starts_on"], reply.json["membership"]["ends_on"]) == ("2026-03-01", "2028-02-29")


@pytest.mark.parametrize("swept", [False, True], ids=["not swept", "swept"])
@pytest.mark.parametrize(
    ("cancelled", "days_after_end", "state"),
    [(False, 0, "active"), (False, 1, "past_due"), (False, 14, "past_due"), (False, 15, "expired"),
     (True, 0, "active"), (True, 1, "canceled"), (True, 15, "canceled")],
)  # fmt: skip
def test_state_and_access_follow_from_dates(
    start_membership: Begin, cancelled: bool, days_after_end: int, state: str, swept: bool
) -> None:
    """The member, staff, the agent and the claims function see the same, whether or not a sweep has run."""
    membership = start_membership("2026-03-01")
    if cancelled:
        membership.post("cancellation")
    membership.set_day(date(2027, 2, 28) + timedelta(days=days_after_end))
    if swept:
        membership.sweep()
    me = membership.client.sign_in_as(sign_in(membership.fresh_database, membership.member_id)).call(
        "GET", "/members/me"
    )
    agents = make_client(agents_api, membership.fresh_database, clock=membership.clock).sign_in_as(
        sign_in(membership.fresh_database, membership.agent_id)
    )
    [client] = agents.call("GET", "/agents/me/clients").json["items"]
    assert [membership.read()["state"], me.json["membership"]["state"], client["membership_state"]] == [state] * 3
    assert membership.has_access() == (state in ("active", "past_due"))


@pytest.mark.parametrize("swept", [False, True], ids=["not swept", "swept"])
def test_what_has_expired_can_not_be_cancelled(start_membership: Begin, swept: bool) -> None:
    """This holds before a sweep has said so, too."""
    membership = start_membership("2026-03-01").set_day("2027-03-15")
    if swept:
        membership.sweep()
    before = membership.read_written()
    assert membership.post("cancellation").problem == "membership-ended"
    assert membership.read_written() == before


@pytest.mark.parametrize("key", [None, "one"], ids=["keys of their own", "one key"])
def test_cancelling_again_changes_nothing(start_membership: Begin, key: str | None) -> None:
    """There is one mail, audit entry and version; the answer is 200 and the same, also after the end."""
    membership = start_membership("2026-03-01")
    key = key and f"{key}-{membership.member_id}"
    first = membership.post("cancellation", key=key)
    before = membership.read_written()
    again = membership.post("cancellation", key=key)
    assert (first.status, again.status, again.json) == (200, 200, first.json)
    me = sign_in(membership.fresh_database, membership.member_id)
    keyless = membership.client.sign_in_as(me).call(
        "POST", "/members/{member_id}/cancellation", member_id=membership.member_id
    )
    assert (keyless.status, membership.read_written()) == (200, before)
    assert [job["template"] for job in membership.list_mails()] == ["member-welcome", "membership-cancelled"]
    assert membership.list_actions().count("membership.cancellation_requested") == 1
    membership.set_day("2027-03-01")
    assert (membership.post("cancellation").status, membership.read_written()) == (200, before)


def test_cancelling_after_a_renewal_is_a_cancellation_again(start_membership: Begin) -> None:
    """The renewal took the first cancellation back."""
    membership = start_membership("2026-03-01")
    for what in ("cancellation", "renewals", "cancellation"):
        assert membership.post(what).status in (200, 201)
    assert membership.list_actions().count("membership.cancellation_requested") == 2
    assert membership.read()["cancel_at_period_end"] is True


def test_the_same_contact_data_again_changes_nothing(start_membership: Begin) -> None:
    """No version, no audit entry; a part that differs is a change."""
    membership = start_membership("2026-03-01")
    me = membership.client.sign_in_as(sign_in(membership.fresh_database, membership.member_id))
    data = me.call("GET", "/members/me").json
    same = {name: data[name] for name in ("full_name", "phone", "language")}
    before = membership.read_written()
    for body in (same, {"phone": data["phone"]}, {"language": data["language"]}):
        reply = me.call("PATCH", "/members/me", body, if_match=1, key=f"key-{get_next_serial()}")
        assert (reply.status, reply.headers["ETag"]) == (200, '"1"')
    assert membership.read_written() == before
    assert me.call("PATCH", "/members/me", {**same, "language": "en"}, if_match=1).headers["ETag"] == '"2"'
    assert membership.list_actions().count("member.contact_changed") == 1


def compute_anniversary(day: date, year: int) -> date:
    """Return the day's anniversary in a year, the 28th for a 29th of February that there is not."""
    try:
        return day.replace(year=year)
    except ValueError:
        return day.replace(year=year, day=28)


@dataclass
class MembershipModel:
    """The state that a membership should have, computed day by day: days are counted, not looked up in SQL."""

    starts_on: date
    ends_on: date = field(init=False)
    anchor: date = field(init=False)
    canceled: bool = False
    paused_on: date | None = None
    paused_days: int = 0
    years: list[tuple[date, date]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begin(self.starts_on)

    def _begin(self, day: date) -> None:
        self.starts_on = self.anchor = day
        self.ends_on = compute_anniversary(day, day.year + 1) - timedelta(days=1)
        self.years.append((day, self.ends_on))

    def advance_to(self, day: date) -> None:
        """Let a pause end whose days are used up."""
        left = MOST_PAUSED - self.paused_days
        if self.paused_on is not None and (day - self.paused_on).days >= left:
            self._resume(left)

    def _resume(self, days: int) -> None:
        self.ends_on += timedelta(days=days)
        self.paused_days, self.paused_on = self.paused_days + days, None

    def compute_state(self, day: date) -> str:
        """Return its state."""
        if self.paused_on is not None:
            return "paused"
        if day <= self.ends_on:
            return "active"
        if self.canceled:
            return "canceled"
        return "past_due" if (day - self.ends_on).days <= GRACE else "expired"

    def renewals(self, day: date) -> int:
        """Renew; the status."""
        state, goes_on = self.compute_state(day), self.compute_state(day) in ("active", "past_due")
        if state == "paused":
            return 409
        first = self.ends_on + timedelta(days=1) if goes_on else day
        anchor = self.anchor if goes_on and compute_anniversary(self.anchor, first.year) == first else first
        last = compute_anniversary(anchor, compute_anniversary(first, first.year + 1).year) - timedelta(days=1)
        if last > compute_anniversary(day, day.year + 2):
            return 409
        if not goes_on:
            self.starts_on = day
        self.anchor, self.ends_on, self.canceled, self.paused_days = anchor, last, False, 0
        self.years.append((first, last))
        return 201

    def cancellation(self, day: date) -> int:
        """Cancel; the status."""
        if self.compute_state(day) == "expired":
            return 409
        self.canceled = True
        return 200

    def pause(self, day: date) -> int:
        """Pause; the status."""
        if self.compute_state(day) == "paused":
            return 200
        if self.compute_state(day) != "active" or self.paused_days >= MOST_PAUSED:
            return 409
        self.paused_on = day
        return 200

    def resume(self, day: date) -> int:
        """Resume; the status."""
        if self.compute_state(day) in ("canceled", "expired"):
            return 409
        if self.paused_on is not None:
            self._resume((day - self.paused_on).days)
        return 200


DAYS = st.dates(date(2026, 11, 1), date(2032, 12, 31)) | st.sampled_from([date(2028, 2, 29), date(2027, 3, 1)])
EVENTS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 13, 30, 89, 90, 91, 200, 364, 365, 366, 400]) | st.integers(0, 60),
              st.sampled_from(["renewals", "renewals", "cancellation", "pause", "resume", "nothing"])),
    max_size=8,
)  # fmt: skip


@given(day=DAYS, events=EVENTS, swept=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_a_membership_is_what_the_calendar_says(
    start_membership: Begin, day: date, events: list[tuple[int, str]], swept: bool
) -> None:
    """Renewals, cancellations and pauses in any order, at any distance: status, state, days and access are the model's.

    A sweep in between changes nothing that anybody sees. Years that follow each other leave no gap and no day twice.
    """
    membership, model = start_membership(day.isoformat()), MembershipModel(day)
    for wait, what in events:
        membership.advance_days(wait)
        model.advance_to(membership.today)
        if swept:
            membership.sweep()
        if what != "nothing":
            assert membership.post(what).status == getattr(model, what)(membership.today), what
        seen: dict[str, Any] = membership.read()
        assert (seen["state"], seen["starts_on"], seen["ends_on"], seen["cancel_at_period_end"]) == (
            model.compute_state(membership.today),
            model.starts_on.isoformat(),
            model.ends_on.isoformat(),
            model.canceled,
        )
        assert membership.has_access() == (seen["state"] in ("active", "past_due"))
    first_days = membership.fresh_database.query_rows(
        "SELECT period_starts_on AS day FROM commissions WHERE member_id = %s ORDER BY id", membership.member_id
    )
    assert [row["day"] for row in first_days] == [first for first, _ in model.years]
    assert all(365 <= (last - first).days + 1 <= 366 for first, last in model.years)


def test_code_that_knows_no_periods_still_renews(fresh_database: FreshDatabase, start_membership: Begin) -> None:
    """An earlier version of the functions writes a year after the end that it finds, on today's schema."""
    membership = start_membership("2026-11-24")
    fresh_database.query_rows(
        "UPDATE subscriptions SET ends_on = ends_on + interval '1 year', version = version + 1 WHERE member_id = %s",
        membership.member_id,
    )
    row = membership.read_row()
    assert (row["ends_on"], row["period_starts_on"]) == (date(2028, 11, 23), date(2027, 11, 24))
