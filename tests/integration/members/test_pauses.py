"""Pauses: staff take access away for a while, and the end moves by the days it was gone."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from tests.harness import ADMIN, claims_of
from tests.integration.members.conftest import Life
from tests.integration.room import serial, sign_in

Begin = Callable[[str], Life]


@pytest.mark.parametrize("swept", [False, True], ids=["not swept", "swept"])
@pytest.mark.parametrize(
    ("days", "ends_on"),
    [(0, "2027-02-28"), (1, "2027-03-01"), (30, "2027-03-30"), (89, "2027-05-28"), (90, "2027-05-29"),
     (91, "2027-05-29"), (400, "2027-05-29")],
)  # fmt: skip
def test_the_end_moves_by_the_days_paused_at_most_ninety(live: Begin, days: int, ends_on: str, swept: bool) -> None:
    """No access meanwhile; a pause that nobody ends is over by itself when its days are used up."""
    life = live("2026-03-01").on("2026-06-01")
    paused = life.post("pause")
    assert (paused.status, paused.json["membership"]["state"]) == (200, "paused")
    assert paused.json["membership"]["ends_on"] == "2027-02-28"
    assert not life.has_access()
    life.later(days)
    if swept:
        life.sweep()
    assert life.read()["state"] == ("paused" if days < 90 else "expired" if days == 400 else "active")
    resumed = life.post("resume")
    if days == 400:
        assert resumed.problem == "membership-ended"
    else:
        assert (resumed.status, resumed.json["membership"]["state"]) == (200, "active")
        assert life.has_access()
    assert life.read()["ends_on"] == ends_on


def test_a_pause_is_idempotent_and_so_is_its_end(live: Begin) -> None:
    """A second pause keeps the first day; a second resumption moves nothing: no version, no audit entry, no mail."""
    life = live("2026-03-01")
    for what, action in (("pause", "membership.paused"), ("resume", "membership.resumed")):
        assert life.later(5).post(what).status == 200
        before = life.written()
        for who in (None, ADMIN):
            again = life.later(1).post(what, who=who) if what == "resume" else life.post(what, who=who)
            assert (again.status, life.written()) == (200, before)
        assert life.audit().count(action) == 1
    assert [job["template"] for job in life.jobs()] == ["member-welcome"]


def test_resuming_what_is_not_paused_changes_nothing(live: Begin) -> None:
    """Active or in its grace."""
    life = live("2026-03-01")
    before = life.written()
    for day in ("2026-03-01", "2027-02-28", "2027-03-10"):
        assert life.on(day).post("resume").status == 200
    assert life.written() == before


def test_pauses_between_two_renewals_share_ninety_days(live: Begin) -> None:
    """Two pauses of 60 days move the end by 90; then there are none left, until the membership is renewed."""
    life = live("2026-03-01")
    for _ in range(2):
        life.later(1).post("pause")
        life.later(60).post("resume")
    assert life.read()["ends_on"] == "2027-05-29"
    before = life.written()
    assert life.post("pause").problem == "pause-days-used"
    assert life.written() == before
    assert life.on("2027-05-01").renew().status == 201
    assert life.post("pause").status == 200


def test_each_pause_moves_the_end_by_its_own_days(live: Begin) -> None:
    """A second one not by those of the first again; and a renewal gives all ninety back."""
    life = live("2026-03-01")
    for days, ends_on in ((20, "2027-03-20"), (30, "2027-04-19")):
        life.later(1).post("pause")
        assert life.later(days).post("resume").json["membership"]["ends_on"] == ends_on
    renewed = date.fromisoformat(life.on("2027-04-01").renew().json["membership"]["ends_on"])
    life.post("pause")
    resumed = life.later(89).post("resume").json["membership"]
    assert date.fromisoformat(resumed["ends_on"]) - renewed == timedelta(days=89)


@pytest.mark.parametrize(
    ("day", "cancelled", "problem"),
    [("2027-03-01", False, "membership-not-running"), ("2027-03-15", False, "membership-not-running"),
     ("2027-03-01", True, "membership-not-running")],
)  # fmt: skip
def test_only_within_its_period_can_a_membership_be_paused(
    live: Begin, day: str, cancelled: bool, problem: str
) -> None:
    """Not in its grace, and not after it: there are no days left that a pause could save. Nothing is written."""
    life = live("2026-03-01")
    if cancelled:
        life.post("cancellation")
    life.on(day)
    before = life.written()
    assert life.post("pause").problem == problem
    assert life.written() == before


def test_a_paused_membership_is_resumed_before_it_is_renewed(live: Begin) -> None:
    """Where the next year begins is known only then; the same key works afterwards."""
    life = live("2026-03-01").on("2026-06-01")
    life.post("pause")
    key = f"renew-{life.member_id}"
    assert life.post("renewals", key=key).problem == "membership-paused"
    life.later(30).post("resume")
    assert life.post("renewals", key=key).json["membership"]["ends_on"] == "2028-03-30"


def test_a_paused_membership_can_be_cancelled(live: Begin) -> None:
    """Nobody is kept: it ends with its period, later by the days paused."""
    life = live("2026-03-01").on("2026-06-01")
    life.post("pause")
    cancelled = life.post("cancellation")
    assert (cancelled.status, cancelled.json["membership"]["state"]) == (200, "paused")
    life.later(10).post("resume")
    life.on("2027-03-10")
    assert (life.read()["state"], life.read()["ends_on"]) == ("active", "2027-03-10")
    assert life.on("2027-03-11").read()["state"] == "canceled"


def test_housekeeping_writes_down_that_a_pause_is_over(live: Begin) -> None:
    """Once, with the audit's word of it, and nothing before."""
    life = live("2026-03-01").on("2026-06-01")
    life.post("pause")
    life.on("2026-08-29").sweep()
    assert life.row()["state"] == "paused"
    for _ in range(2):
        life.on("2026-08-30").sweep()
        row = life.row()
        assert (row["state"], row["ends_on"], row["paused_on"], row["paused_days"]) == (
            "active", date(2027, 5, 29), None, 90,
        )  # fmt: skip
    assert life.audit().count("membership.resumed") == 1


@pytest.mark.parametrize("what", ["pause", "resume"])
def test_only_staff_pause_and_resume(live: Begin, what: str) -> None:
    """Not the member, not an agent, not nobody; one who is not there is 404."""
    life = live("2026-03-01")
    before = life.written()
    me = sign_in(life.blank, life.member_id)
    assert [life.post(what, who=who).problem for who in (me, claims_of("x", "agent"))] == ["forbidden"] * 2
    nobody = life.client.as_(None).call("POST", f"/members/{{member_id}}/{what}", member_id=life.member_id)
    assert nobody.problem == "unauthenticated"
    assert life.written() == before
    nowhere: Any = life.client.as_(ADMIN).call(
        "POST", f"/members/{{member_id}}/{what}", key=f"key-{serial()}", member_id=life.agent_id
    )
    assert nowhere.problem == "not-found"


def test_no_pause_is_longer_than_its_days_in_the_database(live: Begin) -> None:
    """Whoever writes it."""
    life = live("2026-03-01")
    with pytest.raises(psycopg.errors.CheckViolation):
        life.blank.rows("UPDATE subscriptions SET paused_days = 91 WHERE member_id = %s", life.member_id)
