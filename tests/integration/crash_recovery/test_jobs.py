"""Relays and workers killed at any crash point, on real queues and a real inbox, lose nothing and do nothing twice."""

import pytest

from tests.contract.dynamodb_clients import make_table
from tests.crash_recovery.answers import add_write, kill_keepers, list_answer_differences
from tests.crash_recovery.environment import CrashTestEnvironment, ProcessRunner
from tests.crash_recovery.jobs import (
    JobProcesses,
    kill_identity_workers,
    kill_mail_workers,
    kill_relays,
    list_identity_differences,
    list_job_differences,
    make_published,
)
from tests.crash_recovery.syscall_trace import list_uncovered
from tests.databases import IS_PIPELINED
from tests.measurements import record


@pytest.fixture(scope="module")
def job_processes(crash_test: CrashTestEnvironment, processes: ProcessRunner) -> JobProcesses:
    """Return the jobs' functions in a test environment of the module's own."""
    return JobProcesses(crash_test, processes)


@pytest.mark.skipif(not IS_PIPELINED, reason="sent one by one, statements leave between two crash points")
def test_everything_that_leaves_a_relay_or_a_worker_has_a_crash_point_before_and_after_it(
    job_processes: JobProcesses,
) -> None:
    """Traces made without the code show it, so that kills at all crash points cover every moment."""
    jobs = [job_processes.add_mail(**make_published()).id, job_processes.add_identity(**make_published()).id]
    job_processes.add_mail(priority="high")
    add_write(job_processes.environment)
    relay = job_processes.processes.run("relay.app.handler", {}, traced=True)
    worker = job_processes.run_worker(*jobs, traced=True)
    for result in (relay, worker):
        assert list_uncovered(result.trace) == []
        assert {what for _, _, what in result.trace} >= {"sent connect", "sent round trip", "sent http"}


def test_a_relay_killed_at_any_crash_point_loses_and_doubles_nothing(job_processes: JobProcesses) -> None:
    """Every job that was committed is done once, whether it was published once, twice or not at all."""
    job_processes.add_mail(priority="high")
    job_processes.add_identity(priority="low")
    points = job_processes.run_relay().points
    jobs = kill_relays(job_processes, points)
    job_processes.recover()
    mails, identities = [mail for mail, _ in jobs], [identity for _, identity in jobs]
    sent, wrong = job_processes.count_sent(*mails), list_identity_differences(job_processes, identities)
    lost, doubled = sent.count(0), sum(n > 1 for n in sent)
    record("kill_points_relay", killed=len(points), lost=lost, doubled=doubled, wrong=len(wrong))
    assert {job_processes.records.read_job(mail.id)["state"] for mail in mails} == {"done"}
    assert sent == [1] * len(points)
    assert wrong == []


def test_a_relay_killed_at_any_crash_point_of_its_answers_keeps_them_all(
    job_processes: JobProcesses, crash_test: CrashTestEnvironment
) -> None:
    """Before, between and after the copies and before it marks them: the next relay keeps what is not kept."""
    job_processes.recover()
    first = [add_write(crash_test) for _ in range(2)]
    points = job_processes.run_relay().points
    assert list_answer_differences(crash_test, first) == []
    deaths = kill_keepers(job_processes, points)
    wrong = list_answer_differences(crash_test, [write for death in deaths for write in death.writes])
    record("kill_points_answers", killed=len(points), wrong=len(wrong))
    assert {death.unkept for death in deaths} == {0, 1, 2}, "died before, between and after the copies"
    assert wrong == []


def test_a_worker_killed_at_any_crash_point_of_a_mail_never_sends_two(job_processes: JobProcesses) -> None:
    """A job that had not begun is done by the next worker; one that had is uncertain and stays so, sent or not."""
    points = job_processes.run_worker(job_processes.add_mail(**make_published()).id).points
    deaths = kill_mail_workers(job_processes, points)
    job_processes.recover(rounds=3)
    uncertain, wrong = [death for death in deaths if death.begun], list_job_differences(job_processes, deaths)
    record("kill_points_mail", killed=len(points), uncertain=len(uncertain), wrong=len(wrong))
    assert wrong == []
    assert {death.sent for death in uncertain} == {0, 1}, "died before and after the mail had left"
    assert {death.sent for death in deaths if not death.begun} == {0, 1}, "died before it began and after it settled"


def test_a_worker_killed_at_any_crash_point_of_a_mail_that_has_to_wait_loses_nothing(
    job_processes: JobProcesses, crash_test: CrashTestEnvironment
) -> None:
    """The fleet's rate is used up: wherever the worker dies, the mail is sent later, and once."""
    table = make_table(crash_test.make_client("dynamodb"))
    slow = JobProcesses(crash_test, crash_test.start_processes(MAIL_RATE="0.001", MAIL_BURST="1", STATE_TABLE=table))
    slow.run_worker(slow.add_mail(**make_published()).id)
    waits = slow.add_mail(**make_published())
    points = slow.run_worker(waits.id).points
    assert (slow.records.read_job(waits.id)["state"], slow.records.read_job(waits.id)["attempts"]) == ("pending", 0)
    deaths = kill_mail_workers(slow, points)
    assert [death for death in deaths if death.begun or death.sent] == []
    job_processes.recover(rounds=2)
    wrong = list_job_differences(job_processes, deaths)
    record("kill_points_paced_mail", killed=len(points), wrong=len(wrong))
    assert wrong == []
    assert job_processes.count_sent(waits) == [1]


def test_a_worker_killed_at_any_crash_point_of_an_identity_makes_one(job_processes: JobProcesses) -> None:
    """It is made again, as one person: confirmed, in the group, linked to the account."""
    points = job_processes.run_worker(job_processes.add_identity(**make_published()).id).points
    jobs = kill_identity_workers(job_processes, points)
    job_processes.recover()
    wrong = list_identity_differences(job_processes, jobs)
    record("kill_points_identity", killed=len(points), people=len(jobs), wrong=len(wrong))
    assert wrong == []
