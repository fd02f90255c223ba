"""A mail describes the event it was written for, however late it is sent."""

from collections.abc import Callable

import pytest

from shared.aws.errors import RequestRejected, ServiceUnavailable
from shared.clock import read_utc_now
from tests.databases import make_deadline
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeJobQueues
from tests.integration.members.conftest import MembershipFixture
from worker.job_runner import JobRunner, MailSettings

Begin = Callable[[str], MembershipFixture]
RENEWALS = 10


def send_all(membership: MembershipFixture, mailer: FakeMailer, template: str) -> list[str]:
    """Let a worker do the mails of a template that wait, oldest first, and return what became of them."""
    office = MailSettings("desk@example.test", "en", "https://app.example.test")
    worker = JobRunner(
        membership.fresh_database.make_database(), mailer, FakeIdentityProvider(), FakeJobQueues(), office, read_utc_now
    )
    membership.fresh_database.query_rows("UPDATE outbox SET available_at = now()")
    waiting = [job for job in membership.list_mails() if job["template"] == template and job["state"] == "pending"]
    return [worker.run_job(job["id"], make_deadline(60)) for job in waiting]


def refuse(error: Exception) -> Callable[[object], None]:
    """Return a mail service that fails like this."""

    def answer(_mail: object) -> None:
        raise error

    return answer


def renew_ten_times(start_membership: Begin) -> tuple[MembershipFixture, list[str]]:
    """Renew in the last month of ten years; return the ends that each renewal answered."""
    membership, ends = start_membership("2026-03-01"), []
    membership.fresh_database.query_rows("UPDATE accounts SET language = 'en' WHERE id = %s", membership.member_id)
    for year in range(RENEWALS):
        membership.set_day(f"{2027 + year}-02-15")
        reply = membership.renew()
        assert reply.status == 201, reply.body
        ends.append(reply.json["membership"]["ends_on"])
    assert len(set(ends)) == RENEWALS
    return membership, ends


def test_ten_renewals_while_no_mail_leaves_get_a_mail_each_with_its_own_end(start_membership: Begin) -> None:
    """The mail service is dead meanwhile; name and plan change before it is back."""
    mailer = FakeMailer()
    mailer.answer = refuse(ServiceUnavailable("ServiceUnavailable"))
    membership, ends = renew_ten_times(start_membership)
    assert set(send_all(membership, mailer, "membership-renewed")) == {"pending"}
    membership.fresh_database.query_rows(
        "UPDATE accounts SET full_name = 'Somebody Else' WHERE id = %s", membership.member_id
    )
    membership.fresh_database.query_rows(
        "UPDATE subscriptions SET plan = 'standard', price = 20 WHERE member_id = %s", membership.member_id
    )
    mailer.answer = lambda _mail: None
    assert send_all(membership, mailer, "membership-renewed") == ["done"] * RENEWALS
    years = [end[:4] for end in ends]
    assert [next(year for year in years if f"February {year}" in mail.text) for mail in mailer.sent] == years
    assert not [mail for mail in mailer.sent if "Somebody Else" in mail.text or "20.00" in mail.text]


def test_a_mail_goes_to_the_address_and_in_the_language_of_the_day_it_leaves(start_membership: Begin) -> None:
    """The old address may be nobody's any more; and who changes the language wants to read it."""
    membership, mailer = start_membership("2026-03-01"), FakeMailer()
    membership.set_day("2027-02-15").renew()
    membership.fresh_database.query_rows(
        "UPDATE accounts SET email = 'moved@example.test', language = 'mk' WHERE id = %s", membership.member_id
    )
    assert send_all(membership, mailer, "membership-renewed") == ["done"]
    assert mailer.sent[0].to == "moved@example.test"
    assert "февруари" in mailer.sent[0].text


def test_the_facts_of_a_mail_are_forgotten_when_it_has_left(start_membership: Begin) -> None:
    """They name people; a mail that failed keeps them, so that it can be sent again."""
    membership, mailer = start_membership("2026-03-01"), FakeMailer()
    membership.set_day("2027-02-15").renew()
    mailer.answer = refuse(RequestRejected("MessageRejected"))
    assert send_all(membership, mailer, "membership-renewed") == ["failed"]
    [job] = [job for job in membership.list_mails() if job["template"] == "membership-renewed"]
    assert job["facts"]["full_name"]
    membership.fresh_database.query_rows("UPDATE outbox SET state = 'pending' WHERE id = %s", job["id"])
    mailer.answer = lambda _mail: None
    assert send_all(membership, mailer, "membership-renewed") == ["done"]
    [job] = [job for job in membership.list_mails() if job["template"] == "membership-renewed"]
    assert job["facts"] is None


@pytest.mark.parametrize("change", ["payload = payload - 'facts'", "payload = payload || '{\"facts\": {}}'"])
def test_a_job_written_before_facts_were_kept_sends_what_is_known(start_membership: Begin, change: str) -> None:
    """Functions of an earlier version may have left it."""
    membership, mailer = start_membership("2026-03-01"), FakeMailer()
    membership.set_day("2027-02-15").renew()
    membership.fresh_database.query_rows(
        f"UPDATE outbox SET {change} WHERE payload->>'template' = 'membership-renewed'"
    )
    assert send_all(membership, mailer, "membership-renewed") == ["done"]
    assert "2029" not in mailer.sent[0].text
    assert "2028" in mailer.sent[0].text


def test_what_a_reminder_said_is_forgotten_when_a_renewal_ends_it(start_membership: Begin) -> None:
    """It never leaves: nobody needs it."""
    membership = start_membership("2026-03-01").set_day("2027-01-29")
    membership.sweep()
    membership.renew()
    [reminder] = [job for job in membership.list_mails() if job["template"] == "membership-ends-soon"]
    assert (reminder["state"], reminder["facts"]) == ("done", None)
