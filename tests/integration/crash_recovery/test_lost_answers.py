"""SES's answer is lost after the mail has left: nobody sends a second one on their own, and staff are notified."""

from collections.abc import Iterator

import pytest

from tests.api_client import ADMIN
from tests.crash_recovery.environment import CrashTestEnvironment
from tests.crash_recovery.jobs import JobProcesses, MailJob
from tests.crash_recovery.lossy_proxy import LossyProxy, run_lossy_proxy
from tests.crash_recovery.requests import PlannedRequest
from tests.measurements import record

MAILS = 5
NEVER_OPEN = '{"email": {"failures": 1000}}'  # so many lost answers would otherwise open the circuit


@pytest.fixture
def lossy_proxy(crash_test: CrashTestEnvironment) -> Iterator[LossyProxy]:
    """Yield the way to SES."""
    with run_lossy_proxy(crash_test.emulator.url) as line:
        yield line


@pytest.fixture
def job_processes(crash_test: CrashTestEnvironment, lossy_proxy: LossyProxy) -> JobProcesses:
    """Return the jobs' functions, with SES at the end of that line."""
    return JobProcesses(
        crash_test, crash_test.start_processes(AWS_ENDPOINT_URL_SESV2=lossy_proxy.url, CIRCUITS=NEVER_OPEN)
    )


def send_lost_mails(job_processes: JobProcesses) -> list[MailJob]:
    """Mails that have been sent over the line."""
    jobs = [job_processes.add_mail() for _ in range(MAILS)]
    job_processes.run_relay()
    job_processes.deliver()
    return jobs


def list_states(job_processes: JobProcesses, jobs: list[MailJob]) -> list[str]:
    return [job_processes.records.read_job(job.id)["state"] for job in jobs]


def test_a_mail_whose_answer_was_lost_is_uncertain_and_never_sent_again_by_itself(
    job_processes: JobProcesses, lossy_proxy: LossyProxy
) -> None:
    """No repeated message, relay, worker or housekeeping run sends it later."""
    jobs = send_lost_mails(job_processes)
    assert len(lossy_proxy.lost) == MAILS
    assert all(lost.endswith(" 200") for lost in lossy_proxy.lost), "the mails had left"
    assert list_states(job_processes, jobs) == ["uncertain"] * MAILS
    lossy_proxy.loses = False
    job_processes.run_worker(*(job.id for job in jobs))
    job_processes.recover(rounds=3)
    ended, sent = list_states(job_processes, jobs), job_processes.count_sent(*jobs)
    record("ses_answer_lost", mails=MAILS, second_mails=sum(sent) - MAILS, uncertain=ended.count("uncertain"))
    assert ended == ["uncertain"] * MAILS
    assert sent == [1] * MAILS


def test_an_uncertain_mail_that_an_admin_replays_is_sent_exactly_once_more(
    job_processes: JobProcesses, lossy_proxy: LossyProxy
) -> None:
    """The admin knows that it did not arrive."""
    jobs = send_lost_mails(job_processes)
    lossy_proxy.loses = False
    replayed = jobs[0]
    asked = PlannedRequest("jobs_api", "POST", "/jobs/{job_id}/replay", None, {"job_id": str(replayed.id)}, ADMIN)
    answers = [job_processes.processes.run(asked.handler, asked.build_event()).answer for _ in range(2)]
    assert [answer["statusCode"] for answer in answers] == [200, 200]
    assert answers[0]["body"] == answers[1]["body"], "the same replay, sent twice, is one"
    job_processes.run_relay()
    job_processes.deliver()
    job_processes.recover(rounds=2)
    assert list_states(job_processes, jobs) == ["done"] + ["uncertain"] * (MAILS - 1)
    assert job_processes.count_sent(*jobs) == [2] + [1] * (MAILS - 1)
