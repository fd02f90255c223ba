"""Pauses: staff take access away for a while, and the end is later by the days it was gone."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from tests.api_client import ADMIN, make_claims
from tests.integration.function_client import get_next_serial, sign_in
from tests.integration.members.conftest import MembershipFixture

Begin = Callable[[str], MembershipFixture]


@pytest.mark.parametrize("swept", [False, True], ids=["not swept", "swept"])
@pytest.mark.parametrize(
    ("days", "ends_on"),
    [(0, "2027-02-28"), (1, "2027-03-01"), (30, "2027-03-30"), (89, "2027-05-28"), (90, "2027-05-29"),
     (91, "2027-05-29"), (400, "2027-05-29")],
)  # fmt: skip
def test_the_end_is_later_by_the_days_paused_at_most_ninety(
    start_membership: Begin, days: int, ends_on: str, swept: bool
) -> None:
    """No access meanwhile; a pause that nobody ends is over by itself when its days are used up."""
    membership = start_membership("2026-03-01").set_day("2026-06-01")
    paused = membership.post("pause")
    assert (paused.status, paused.json["membership"]["state"]) == (200, "paused")
    assert paused.json["membership"]["ends_on"] == "2027-02-28"
    assert not membership.has_access()
    membership.advance_days(days)
    if swept:
        membership.sweep()
        ended = [] if days < 90 else ["membership.became_expired" if days == 400 else "membership.resumed"]
        changes = ("membership.became_", "membership.resumed")
        assert [action for action in membership.list_actions() if action.startswith(changes)] == ended
    assert membership.read()["state"] == ("paused" if days < 90 else "expired" if days == 400 else "active")
    resumed = membership.post("resume")
    if days == 400:
        assert resumed.problem == "membership-ended"
    else:
        assert (resumed.status, resumed.json["membership"]["state"]) == (200, "active")
        assert membership.has_access()
    assert membership.read()["ends_on"] == ends_on


def test_a_pause_is_idempotent_and_so_is_its_end(start_membership: Begin) -> None:
    """A second pause keeps the first day; a second resumption changes nothing: no version, no audit entry, no mail."""
    membership = start_membership("2026-03-01")
    for what, action in (("pause", "membership.paused"), ("resume", "membership.resumed")):
        assert membership.advance_days(5).post(what).status == 200
        before = membership.read_written()
        for who in (None, ADMIN):
            again = (
                membership.advance_days(1).post(what, who=who) if what == "resume" else membership.post(what, who=who)
            )
            assert (again.status, membership.read_written()) == (200, before)
        assert membership.list_actions().count(action) == 1
    assert [job["template"] for job in membership.list_mails()] == ["member-welcome"]


def test_resuming_what_is_not_paused_changes_nothing(start_membership: Begin) -> None:
    """Active or in its grace."""
    membership = start_membership("2026-03-01")
    before = membership.read_written()
    for day in ("2026-03-01", "2027-02-28", "2027-03-10"):
        assert membership.set_day(day).post("resume").status == 200
    assert membership.read_written() == before


def test_pauses_between_two_renewals_share_ninety_days(start_membership: Begin) -> None:
    """Two pauses of 60 days delay the end by 90; then there are none left, until the membership is renewed."""
    membership = start_membership("2026-03-01")
    for _ in range(2):
        membership.advance_days(1).post("pause")
        membership.advance_days(60).post("resume")
    assert membership.read()["ends_on"] == "2027-05-29"
    before = membership.read_written()
    assert membership.post("pause").problem == "pause-days-used"
    assert membership.read_written() == before
    assert membership.set_day("2027-05-01").renew().status == 201
    assert membership.post("pause").status == 200


def test_each_pause_delays_the_end_by_its_own_days(start_membership: Begin) -> None:
    """A second one not by those of the first again; and a renewal gives all ninety back."""
    membership = start_membership("2026-03-01")
    for days, ends_on in ((20, "2027-03-20"), (30, "2027-04-19")):
        membership.advance_days(1).post("pause")
        assert membership.advance_days(days).post("resume").json["membership"]["ends_on"] == ends_on
    renewed = date.fromisoformat(membership.set_day("2027-04-01").renew().json["membership"]["ends_on"])
    membership.post("pause")
    resumed = membership.advance_days(89).post("resume").json["membership"]
    assert date.fromisoformat(resumed["ends_on"]) - renewed == timedelta(days=89)


@pytest.mark.parametrize(
    ("day", "cancelled", "problem"),
    [("2027-03-01", False, "membership-not-running"), ("2027-03-15", False, "membership-not-running"),
     ("2027-03-01", True, "membership-not-running")],
)  # fmt: skip
def test_only_within_its_period_can_a_membership_be_paused(
    start_membership: Begin, day: str, cancelled: bool, problem: str
) -> None:
    """In its grace and after it there are no days left that a pause could save, so nothing is written."""
    membership = start_membership("2026-03-01")
    if cancelled:
        membership.post("cancellation")
    membership.set_day(day)
    before = membership.read_written()
    assert membership.post("pause").problem == problem
    assert membership.read_written() == before


def test_a_paused_membership_is_resumed_before_it_is_renewed(start_membership: Begin) -> None:
    """The next year's first day is known only then; the same key works afterwards."""
    membership = start_membership("2026-03-01").set_day("2026-06-01")
    membership.post("pause")
    key = f"renew-{membership.member_id}"
    assert membership.post("renewals", key=key).problem == "membership-paused"
    membership.advance_days(30).post("resume")
    assert membership.post("renewals", key=key).json["membership"]["ends_on"] == "2028-03-30"


def test_a_paused_membership_can_be_cancelled(start_membership: Begin) -> None:
    """Nobody is kept: it ends with its period, later by the days paused."""
    membership = start_membership("2026-03-01").set_day("2026-06-01")
    membership.post("pause")
    cancelled = membership.post("cancellation")
    assert (cancelled.status, cancelled.json["membership"]["state"]) == (200, "paused")
    membership.advance_days(10).post("resume")
    membership.set_day("2027-03-10")
    assert (membership.read()["state"], membership.read()["ends_on"]) == ("active", "2027-03-10")
    assert membership.set_day("2027-03-11").read()["state"] == "canceled"


def test_housekeeping_writes_down_that_a_pause_is_over(start_membership: Begin) -> None:
    """It does so once, with an audit entry, and not before the end."""
    membership = start_membership("2026-03-01").set_day("2026-06-01")
    membership.post("pause")
    membership.set_day("2026-08-29").sweep()
    assert membership.read_row()["state"] == "paused"
    for _ in range(2):
        membership.set_day("2026-08-30").sweep()
        row = membership.read_row()
        assert (row["state"], row["ends_on"], row["paused_on"], row["paused_days"]) == (
            "active", date(2027, 5, 29), None, 90,
        )  # fmt: skip
    assert membership.list_actions().count("membership.resumed") == 1


@pytest.mark.parametrize("what", ["pause", "resume"])
def test_only_staff_pause_and_resume(start_membership: Begin, what: str) -> None:
    """The member, agents and callers without a token may not; an unknown member is 404."""
    membership = start_membership("2026-03-01")
    before = membership.read_written()
    me = sign_in(membership.fresh_database, membership.member_id)
    assert [membership.post(what, who=who).problem for who in (me, make_claims("x", "agent"))] == ["forbidden"] * 2
    nobody = membership.client.sign_in_as(None).call(
        "POST", f"/members/{{member_id}}/{what}", member_id=membership.member_id
    )
    assert nobody.problem == "unauthenticated"
    assert membership.read_written() == before
    nowhere: Any = membership.client.sign_in_as(ADMIN).call(
        "POST", f"/members/{{member_id}}/{what}", key=f"key-{get_next_serial()}", member_id=membership.agent_id
    )
    assert nowhere.problem == "not-found"


def test_no_pause_is_longer_than_its_days_in_the_database(start_membership: Begin) -> None:
    """The database refuses it from any writer."""
    membership = start_membership("2026-03-01")
    with pytest.raises(psycopg.errors.CheckViolation):
        membership.fresh_database.query_rows(
            "UPDATE subscriptions SET paused_days = 91 WHERE member_id = %s", membership.member_id
        )
