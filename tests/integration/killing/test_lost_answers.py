"""SES's answer is lost after the mail has left: nobody sends a second one by themselves, and a person is told."""

from collections.abc import Iterator

import pytest

from tests.figures import record
from tests.harness import ADMIN
from tests.killing.jobs import MailJob, Office
from tests.killing.lossy import Line, lossy
from tests.killing.requests import Asked
from tests.killing.world import World

MAILS = 5
NEVER_OPEN = '{"email": {"failures": 1000}}'  # so many lost answers would otherwise open the circuit


@pytest.fixture
def line(killing: World) -> Iterator[Line]:
    """The way to SES."""
    with lossy(killing.emulator.url) as line:
        yield line


@pytest.fixture
def office(killing: World, line: Line) -> Office:
    """The jobs' functions, with SES at the end of that line."""
    return Office(killing, killing.processes(AWS_ENDPOINT_URL_SESV2=line.url, CIRCUITS=NEVER_OPEN))


def lost(office: Office) -> list[MailJob]:
    """Mails that have been sent over the line."""
    jobs = [office.mail() for _ in range(MAILS)]
    office.relay()
    office.deliver()
    return jobs


def states(office: Office, jobs: list[MailJob]) -> list[str]:
    return [office.records.at(job.id)["state"] for job in jobs]


def test_a_mail_whose_answer_was_lost_is_uncertain_and_never_sent_again_by_itself(office: Office, line: Line) -> None:
    """Not by a message that comes again, nor by relays, workers and housekeeping however much later."""
    jobs = lost(office)
    assert len(line.lost) == MAILS
    assert all(lost.endswith(" 200") for lost in line.lost), "the mails had left"
    assert states(office, jobs) == ["uncertain"] * MAILS
    line.loses = False
    office.work(*(job.id for job in jobs))
    office.recover(rounds=3)
    ended, sent = states(office, jobs), office.sent(*jobs)
    record("ses_answer_lost", mails=MAILS, second_mails=sum(sent) - MAILS, uncertain=ended.count("uncertain"))
    assert ended == ["uncertain"] * MAILS
    assert sent == [1] * MAILS


def test_an_uncertain_mail_that_an_admin_replays_is_sent_exactly_once_more(office: Office, line: Line) -> None:
    """A person has decided: they know that it did not arrive."""
    jobs = lost(office)
    line.loses = False
    replayed = jobs[0]
    asked = Asked("jobs_api", "POST", "/jobs/{job_id}/replay", None, {"job_id": str(replayed.id)}, ADMIN)
    answers = [office.processes.run(asked.handler, asked.event()).answer for _ in range(2)]
    assert [answer["statusCode"] for answer in answers] == [200, 200]
    assert answers[0]["body"] == answers[1]["body"], "the same replay, sent twice, is one"
    office.relay()
    office.deliver()
    office.recover(rounds=2)
    assert states(office, jobs) == ["done"] + ["uncertain"] * (MAILS - 1)
    assert office.sent(*jobs) == [2] + [1] * (MAILS - 1)
