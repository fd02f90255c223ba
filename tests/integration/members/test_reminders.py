"""Reminders of a membership's end: 30, 7 and 0 days before it, and when access has ended; each once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any, get_args

import pytest

from housekeeping.app import REMINDER_LATENESS_DAYS, handler
from shared.fields import Language
from tests.api_client import LambdaContext, make_container
from tests.databases import make_deadline
from tests.fakes.documents import FakeDocumentStore
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeJobQueues
from tests.integration.members.conftest import MembershipFixture
from tests.integration.shared.failure_cases import list_waiting, make_barrier, wait_until
from worker.job_runner import JobRunner, MailSettings
from worker.mail_rendering import render_mail

Begin = Callable[[str], MembershipFixture]
END = date(2027, 2, 28)  # of a membership that begins on the day below
BEGINS = "2026-03-01"
SOON, SHORTLY, TODAY, ENDED = (
    "membership-ends-soon",
    "membership-ends-shortly",
    "membership-ends-today",
    "membership-ended",
)


def list_reminders(membership: MembershipFixture) -> list[str]:
    """Return the templates of the reminders written so far."""
    return [job["template"] for job in membership.list_mails() if job["template"] in (SOON, SHORTLY, TODAY, ENDED)]


def list_waiting_reminders(membership: MembershipFixture) -> list[str]:
    """Return the templates of the reminders that have not left."""
    waiting = [job["template"] for job in membership.list_mails() if job["state"] == "pending"]
    return [template for template in waiting if template in (SOON, SHORTLY, TODAY, ENDED)]


def take_reminders(membership: MembershipFixture) -> list[tuple[str, str]]:
    """Let the waiting reminders leave; return the template and the end of each."""
    written = [job for job in membership.list_mails() if job["template"] in (SOON, SHORTLY, TODAY, ENDED)]
    waiting = [job for job in written if job["state"] != "done"]
    membership.fresh_database.query_rows(
        "UPDATE outbox SET state = 'done' WHERE id = ANY(%s)", [job["id"] for job in waiting]
    )
    return [(job["template"], job["facts"]["ends_on"]) for job in waiting]


def make_job_runner(membership: MembershipFixture, mailer: FakeMailer) -> JobRunner:
    """Return a worker that sends the membership's mails by that mailer, at its clock's time."""
    return JobRunner(
        membership.fresh_database.make_database(),
        mailer,
        FakeIdentityProvider(),
        FakeJobQueues(),
        MailSettings("desk@example.test", "en", "https://app.example.test"),
        membership.clock,
    )


def send_mail(membership: MembershipFixture, job_id: Any) -> str:
    """Let a mail leave and return its text, on one line."""
    mailer = FakeMailer()
    worker = make_job_runner(membership, mailer)
    assert worker.run_job(job_id, make_deadline(60)) == "done"
    return " ".join(mailer.sent[0].text.split())


def go_before_end(membership: MembershipFixture, days: int) -> MembershipFixture:
    """Go to the day that is `days` before the end; after it where the number is negative."""
    return membership.set_day(END - timedelta(days=days))


def test_a_year_has_four_reminders_on_their_days(start_membership: Begin) -> None:
    """A sweep runs every day from six weeks before the end to a month after it."""
    membership = start_membership(BEGINS)
    written: list[tuple[int, str]] = []
    for days in range(42, -31, -1):
        go_before_end(membership, days).sweep()
        written += [(days, new) for new in list_reminders(membership)[len(written) :]]
    assert written == [(30, SOON), (7, SHORTLY), (0, TODAY), (-15, ENDED)]
    assert membership.list_actions().count("membership.reminded") == 4


def test_a_reminder_is_a_low_mail_with_its_facts(start_membership: Begin) -> None:
    """Written down when it is due: what the mail says does not depend on when it leaves."""
    membership = go_before_end(start_membership(BEGINS), 0)
    membership.sweep()
    [row] = membership.fresh_database.query_rows(
        "SELECT priority, payload FROM outbox WHERE subject_id = %s AND payload->>'template' = %s",
        membership.member_id,
        TODAY,
    )
    assert row["priority"] == "low"
    assert row["payload"]["to"] == f"account:{membership.member_id}"
    facts = row["payload"]["facts"]
    assert facts.pop("member_number").startswith("MEM-2026-")
    expected = {
        "plan": "family", "price": "35.00", "currency": "EUR", "ends_on": "2027-02-28", "renewable_until": "2027-03-14",
    }  # fmt: skip
    assert facts.items() >= expected.items()


def test_twenty_sweeps_at_once_write_it_once(start_membership: Begin) -> None:
    """The second one to a membership finds it locked, or its reminder written."""
    membership = go_before_end(start_membership(BEGINS), 30)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: membership.sweep(), range(20)))
    assert list_reminders(membership) == [SOON]


# The first call of `reminder_due` waits for a test's lock, when its sweep has begun but taken no row yet.
WAIT_WITHIN = """
    CREATE SEQUENCE calls;
    GRANT USAGE ON SEQUENCE calls TO PUBLIC;
    ALTER FUNCTION reminder_due(subscriptions, date, integer) RENAME TO kind_of_reminder_due;
    CREATE FUNCTION reminder_due(s subscriptions, day date, lateness integer) RETURNS text LANGUAGE plpgsql AS '
    BEGIN
        IF nextval(''calls'') = 1 THEN PERFORM pg_advisory_xact_lock(1); END IF;
        RETURN kind_of_reminder_due(s, day, lateness);
    END';
"""
WAIT_NO_MORE = """
    DROP FUNCTION reminder_due;
    DROP SEQUENCE calls;
    ALTER FUNCTION kind_of_reminder_due RENAME TO reminder_due;
"""


@pytest.mark.parametrize("is_kept_back", [False, True], ids=["the first time", "again after it was kept back"])
def test_a_sweep_that_began_before_another_wrote_it_writes_nothing(start_membership: Begin, is_kept_back: bool) -> None:
    """It read the memberships before the other one committed, and takes them afterwards."""
    membership = go_before_end(start_membership(BEGINS), 30)
    if is_kept_back:
        membership.sweep()
        ids = [job["id"] for job in membership.list_mails()]
        membership.fresh_database.query_rows(
            "UPDATE outbox SET state = 'done', last_error = 'superseded' WHERE id = ANY(%s)", ids
        )
    before = len(list_reminders(membership))
    membership.fresh_database.query_rows(WAIT_WITHIN)
    try:
        with ThreadPoolExecutor(1) as pool:
            with make_barrier(membership.fresh_database):
                early = pool.submit(membership.sweep)
                wait_until(lambda: list_waiting(membership.fresh_database, "advisory"))
                assert membership.sweep()["members_reminded"] >= 1
            assert early.result()["members_reminded"] == 0
    finally:
        membership.fresh_database.query_rows(WAIT_NO_MORE)
    assert len(list_reminders(membership)) == before + 1


@pytest.mark.parametrize(
    ("days", "expected"),
    [(29, [SOON]), (8, [SOON]), (6, [SHORTLY]), (1, [SHORTLY]), (-1, []), (-14, []), (-16, [ENDED]),
     (-14 - REMINDER_LATENESS_DAYS, [ENDED]), (-15 - REMINDER_LATENESS_DAYS, [])],
)  # fmt: skip
def test_after_an_outage_only_what_is_still_true_is_written(
    start_membership: Begin, days: int, expected: list[str]
) -> None:
    """Nobody gets a mail about 30 days when 6 are left, of a last day that is over, or of an end long past."""
    membership = go_before_end(start_membership(BEGINS), days)
    membership.sweep()
    membership.sweep()
    assert list_reminders(membership) == expected


def count_written(membership: MembershipFixture) -> tuple[int, int, int]:
    """Return how many reminders are noted, how many mails of them there are, and how many audit entries."""
    mails = membership.fresh_database.query_rows(
        "SELECT FROM outbox WHERE payload->>'template' LIKE 'membership-end%%'"
    )
    entries = membership.fresh_database.query_rows("SELECT FROM audit WHERE action = 'membership.reminded'")
    return membership.fresh_database.count("membership_reminders"), len(mails), len(entries)


def test_a_sweep_that_dies_leaves_no_half_of_a_reminder(start_membership: Begin) -> None:
    """Note, mail and audit entry commit together: what fails is done by the next sweep, once."""
    membership = go_before_end(start_membership(BEGINS), 30)
    membership.fresh_database.query_rows(
        "CREATE FUNCTION refuse_mail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE; END'"
    )
    membership.fresh_database.query_rows(
        "CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse_mail()"
    )
    before = count_written(membership)
    try:
        assert membership.sweep()["members_reminded"] == 0
        assert count_written(membership) == before
    finally:
        membership.fresh_database.query_rows("DROP TRIGGER refuse ON outbox")
        membership.fresh_database.query_rows("DROP FUNCTION refuse_mail")
    membership.sweep()
    assert list_reminders(membership) == [SOON]


def test_who_has_cancelled_is_mailed_only_that_it_has_ended(start_membership: Begin) -> None:
    """The day after the last one: they have no grace."""
    membership = start_membership(BEGINS)
    membership.post("cancellation")
    for days in (30, 7, 0):
        go_before_end(membership, days).sweep()
    assert list_reminders(membership) == []
    go_before_end(membership, -1).sweep()
    assert list_reminders(membership) == [ENDED]


@pytest.mark.parametrize("days_after_end", [1, 7, 8, 14])
def test_who_cancels_in_the_grace_period_is_mailed_that_it_has_ended(
    start_membership: Begin, days_after_end: int
) -> None:
    """Access ends with the cancellation, on whichever day: the mail about it promises none until a day that is past."""
    membership = go_before_end(start_membership(BEGINS), -days_after_end)
    membership.fresh_database.query_rows("UPDATE accounts SET language = 'en' WHERE id = %s", membership.member_id)
    assert membership.post("cancellation").json["membership"]["state"] == "canceled"
    membership.sweep()
    membership.sweep()
    assert list_reminders(membership) == [ENDED]
    [cancelled] = [job for job in membership.list_mails() if job["template"] == "membership-cancelled"]
    assert "until then" not in send_mail(membership, cancelled["id"])


@pytest.mark.parametrize("language", get_args(Language))
def test_a_cancellation_promises_services_only_while_the_membership_runs(
    start_membership: Begin, language: Language
) -> None:
    """A paused member has no access, and a later end than the mail can name."""
    membership = start_membership(BEGINS)
    membership.fresh_database.query_rows(
        "UPDATE accounts SET language = %s WHERE id = %s", language, membership.member_id
    )
    membership.post("pause")
    membership.post("cancellation")
    text = send_mail(membership, membership.list_mails()[-1]["id"])
    promised = {
        "en": "as long as it runs",
        "sq": "sa kohë është aktiv",
        "mk": "додека е активно",
        "sr": "dok je aktivno",
    }
    assert promised[language] in text


def test_who_is_paused_is_not_reminded_and_afterwards_of_the_new_end(start_membership: Begin) -> None:
    """The end is not known while the pause lasts."""
    membership = go_before_end(start_membership(BEGINS), 40)
    membership.post("pause")
    go_before_end(membership, 30).sweep()
    assert list_reminders(membership) == []
    membership.post("resume")
    membership.sweep()
    assert list_reminders(membership) == []
    go_before_end(membership, 20).sweep()  # the end is ten days later now
    assert [job["facts"]["ends_on"] for job in membership.list_mails() if job["template"] == SOON] == ["2027-03-10"]


@pytest.mark.parametrize(
    ("paused_at", "resumed_at", "expected"),
    [(29, -1, [(SOON, "2027-02-28"), (SOON, "2027-03-30"), (SHORTLY, "2027-03-30"), (TODAY, "2027-03-30")]),
     (6, 4, [(SOON, "2027-02-28"), (SHORTLY, "2027-02-28"), (SHORTLY, "2027-03-02"), (TODAY, "2027-03-02")]),
     (20, -400, [(SOON, "2027-02-28"), (SOON, "2027-05-29"), (SHORTLY, "2027-05-29"), (TODAY, "2027-05-29")])],
)  # fmt: skip
def test_who_was_mailed_an_end_that_a_pause_has_changed_is_mailed_the_new_one(
    start_membership: Begin, paused_at: int, resumed_at: int, expected: list[tuple[str, str]]
) -> None:
    """The mail is written once for each end, whether staff resumed the membership or its days were used up."""
    membership, sent = start_membership(BEGINS), []
    for days in range(31, -92, -1):
        go_before_end(membership, days)
        if days == paused_at:
            membership.post("pause")
        if days == resumed_at:
            membership.post("resume")
        membership.sweep()
        sent += take_reminders(membership)
    assert [one for one in sent if one[0] != ENDED] == expected


@pytest.mark.parametrize(("days", "waiting"), [(30, SOON), (6, SHORTLY), (0, TODAY)])
def test_a_reminder_dropped_by_a_pause_is_written_again_when_the_end_stays(
    start_membership: Begin, days: int, waiting: str
) -> None:
    """A resumption on the day of the pause changes no end: what was waiting to leave is still true."""
    membership = go_before_end(start_membership(BEGINS), days)
    membership.sweep()
    assert list_waiting_reminders(membership) == [waiting]
    for _ in range(2):
        membership.post("pause")
        assert list_waiting_reminders(membership) == []
        membership.post("resume")
        membership.sweep()
        membership.sweep()
        assert list_waiting_reminders(membership) == [waiting]


def test_a_reminder_that_has_left_is_not_written_again_after_a_pause_that_changed_no_end(
    start_membership: Begin,
) -> None:
    """Only reminders that did not leave are written a second time."""
    membership = go_before_end(start_membership(BEGINS), 30)
    membership.sweep()
    membership.fresh_database.query_rows("UPDATE outbox SET state = 'done' WHERE payload->>'template' = %s", SOON)
    membership.post("pause")
    membership.post("resume")
    membership.sweep()
    assert list_reminders(membership) == [SOON]


def test_a_sweep_of_an_earlier_version_reminds_of_the_end_that_there_is(start_membership: Begin) -> None:
    """It writes no end: today's schema fills it in, and a later sweep writes nothing twice."""
    membership = go_before_end(start_membership(BEGINS), 30)
    membership.fresh_database.query_rows(
        "INSERT INTO membership_reminders (subscription_id, period_starts_on, kind, job_id)"
        " SELECT id, period_starts_on, '30-days', gen_random_uuid() FROM subscriptions WHERE member_id = %s",
        membership.member_id,
    )
    membership.sweep()
    assert list_reminders(membership) == []


def test_the_next_year_has_reminders_of_its_own(start_membership: Begin) -> None:
    """Renewed after the first: nothing more of this end, and all of the next."""
    membership = go_before_end(start_membership(BEGINS), 30)
    membership.sweep()
    membership.renew()
    for days in (7, 0, -1, -15):
        go_before_end(membership, days).sweep()
    assert list_reminders(membership) == [SOON]
    membership.set_day(date(2028, 2, 29) - timedelta(days=30)).sweep()
    assert list_reminders(membership) == [SOON, SOON]


@pytest.mark.parametrize("what", ["renewals", "cancellation", "pause"])
@pytest.mark.parametrize(
    ("state", "after"),
    [("pending", "done"), ("queued", "done"), ("failed", "done"), ("running", "running"), ("uncertain", "uncertain")],
)
def test_a_reminder_that_is_no_longer_true_does_not_leave(
    start_membership: Begin, what: str, state: str, after: str
) -> None:
    """It waited while mail was down, and meanwhile the member renewed, cancelled or was paused.

    What a worker has in hand may have left already.
    """
    membership = go_before_end(start_membership(BEGINS), 30)
    membership.sweep()
    membership.fresh_database.query_rows(
        "UPDATE outbox SET state = %s WHERE subject_id = %s AND payload->>'template' = %s",
        state,
        membership.member_id,
        SOON,
    )
    assert membership.post(what).status in (200, 201)
    assert [job["state"] for job in membership.list_mails() if job["template"] == SOON] == [after]


def test_a_repeated_cancellation_keeps_the_mail_about_the_end(start_membership: Begin) -> None:
    """It changes nothing: what waits is still true, and no sweep would write it again."""
    membership = start_membership(BEGINS)
    membership.post("cancellation")
    go_before_end(membership, -1).sweep()
    assert membership.post("cancellation").status == 200
    assert [job["state"] for job in membership.list_mails() if job["template"] == ENDED] == ["pending"]


def test_a_later_reminder_takes_the_place_of_one_that_has_not_left(start_membership: Begin) -> None:
    """A member without mail for weeks then gets one mail about the end, not three."""
    membership = start_membership(BEGINS)
    for days in (30, 7, 0):
        go_before_end(membership, days).sweep()
    states = {
        job["template"]: job["state"] for job in membership.list_mails() if job["template"] in (SOON, SHORTLY, TODAY)
    }
    assert states == {SOON: "done", SHORTLY: "done", TODAY: "pending"}


def test_more_members_than_a_batch_are_all_reminded(start_membership: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep takes several transactions."""
    monkeypatch.setattr("housekeeping.app.BATCH", 2)
    lives = [start_membership("2030-03-01") for _ in range(5)]
    lives[0].set_day("2031-01-29").sweep()
    assert [list_reminders(membership) for membership in lives] == [[SOON]] * 5


@pytest.mark.parametrize(
    ("days", "subject"), [(30, "ends on"), (7, "Only days left"), (0, "Last day"), (-15, "has ended")]
)
def test_a_worker_sends_what_a_sweep_has_written(start_membership: Begin, days: int, subject: str) -> None:
    """The mail has the end that was true then, although the row says another by now."""
    membership = go_before_end(start_membership(BEGINS), days)
    membership.fresh_database.query_rows("UPDATE accounts SET language = 'en' WHERE id = %s", membership.member_id)
    membership.sweep()
    membership.fresh_database.query_rows(
        "UPDATE subscriptions SET ends_on = '2026-12-24' WHERE member_id = %s", membership.member_id
    )
    mailer = FakeMailer()
    worker = make_job_runner(membership, mailer)
    assert worker.run_job(membership.list_mails()[-1]["id"], make_deadline(60)) == "done"
    [mail] = mailer.sent
    assert subject in mail.subject
    assert "28 February 2027" in mail.text


@pytest.mark.parametrize(("days", "wake_ups"), [(30, [0]), (31, [])])
def test_the_relay_is_woken_for_reminders(
    start_membership: Begin, monkeypatch: pytest.MonkeyPatch, days: int, wake_ups: list[float]
) -> None:
    """It is not woken if nothing was written; no claim is late here."""
    queues = FakeJobQueues()
    membership = start_membership("2034-03-01").set_day(date(2035, 2, 28) - timedelta(days=days))
    parts = make_container(
        membership.fresh_database.settings, clock=membership.clock, queues=queues, document_store=FakeDocumentStore()
    )
    monkeypatch.setattr("housekeeping.app.get_container", lambda: parts)
    done = handler({}, LambdaContext(60))
    assert (done["members_reminded"], done["overdue_claims_notified"]) == (len(wake_ups), 0)
    assert queues.wake_ups == wake_ups


def test_every_language_has_them() -> None:
    """Rendered with the facts that a sweep writes, and nothing else."""
    facts = {
        "full_name": "Besa Hoxha", "member_number": "MEM-2026-000123", "plan": "family", "price": "35.00",
        "currency": "EUR", "ends_on": "2027-02-28", "renewable_until": "2027-03-14",
    }  # fmt: skip
    seen = set()
    for template in (SOON, SHORTLY, TODAY, ENDED):
        for language in get_args(Language):
            words = render_mail(template, language, facts, link="https://app.example.test")
            assert "MEM-2026-000123" in words.text
            assert "2027" in words.text
            seen.add(words.text)
    assert len(seen) == 16
