"""Poison blocks nobody: what can't be done stands first in line, and all behind it is done all the same."""

from typing import Any
from uuid import UUID

import pytest

from shared.outbox.retry_policy import MOST_ATTEMPTS
from tests.crash_recovery.environment import MAX_RECEIVES, PRIORITIES, CrashTestEnvironment, ProcessRunner
from tests.crash_recovery.jobs import LONG, JobProcesses, MailJob
from tests.measurements import record

GOOD = 100
NO_JOB = "not a job at all"


@pytest.fixture(scope="module")
def job_processes(crash_test: CrashTestEnvironment, processes: ProcessRunner) -> JobProcesses:
    """Return the jobs' functions, on queues that give a message up after as many tries as the template's."""
    return JobProcesses(crash_test, processes)


def get_url(job_processes: JobProcesses, priority: str) -> str:
    return job_processes.environment.environment[f"QUEUE_{priority.upper()}_URL"]


def list_dead_letters(job_processes: JobProcesses, priority: str) -> list[str]:
    """Return the messages that the queue has given up."""
    found = job_processes.environment.make_client("sqs").receive_message(
        QueueUrl=get_url(job_processes, priority) + "-dead", MaxNumberOfMessages=10
    )
    return [message["Body"] for message in found.get("Messages", [])]


def add_poison(job_processes: JobProcesses, priority: str) -> dict[str, UUID]:
    """Jobs that can't be done, by what is wrong with them."""
    nobody = job_processes.records.add_member(email=f"two\nlines.{priority}@example.test")
    somebody = job_processes.records.add_member()
    columns: dict[str, Any] = {"priority": priority}
    return {
        "template-unknown": job_processes.records.add_mail("no-such-mail", somebody, to=somebody, **columns),
        "facts-missing": job_processes.records.add_mail("claim-received", somebody, to=somebody, **columns),
        "HeaderInjection": job_processes.records.add_mail("member-welcome", nobody, to=nobody, **columns),
        "abandoned": job_processes.records.add_job("mail", somebody, {"nothing": "that a worker knows"}, **columns),
    }


@pytest.fixture(scope="module", params=PRIORITIES)
def queue(request: pytest.FixtureRequest, job_processes: JobProcesses) -> tuple[str, dict[str, UUID], list[MailJob]]:
    """Return one priority with its poison messages and the good mails behind them, all delivered once."""
    priority: str = request.param
    job_processes.environment.make_client("sqs").send_message(
        QueueUrl=get_url(job_processes, priority), MessageBody=NO_JOB
    )
    bad = add_poison(job_processes, priority)
    good = job_processes.add_mails(GOOD, priority=priority)
    job_processes.run_relay()
    job_processes.deliver()
    return priority, bad, good


def test_all_that_stands_behind_poison_is_done_at_the_first_delivery(
    job_processes: JobProcesses, queue: tuple[str, dict[str, UUID], list[MailJob]]
) -> None:
    """The good mails are done in the same batches, by the same workers."""
    _, _, good = queue
    states = job_processes.records.list_states()
    assert {states[job.id] for job in good} == {"done"}
    assert set(job_processes.count_sent(*good)) == {1}


def test_poison_has_failed_after_its_tries_with_the_reason_for_a_person(
    job_processes: JobProcesses, queue: tuple[str, dict[str, UUID], list[MailJob]]
) -> None:
    """A refused job fails at once; one that no worker survives fails after as many tries as any other job."""
    _, bad, _ = queue
    for _ in range(MOST_ATTEMPTS):
        job_processes.records.age_job(bad["abandoned"], LONG)
        job_processes.run_relay()
        job_processes.deliver()
    rows = {error: job_processes.records.read_job(job) for error, job in bad.items()}
    assert {error: (row["state"], row["last_error"]) for error, row in rows.items()} == {
        error: ("failed", error) for error in bad
    }
    assert rows.pop("abandoned")["attempts"] == MOST_ATTEMPTS
    assert {row["attempts"] for row in rows.values()} == {1}


def test_a_message_that_is_no_job_ends_among_the_dead_letters(
    job_processes: JobProcesses, queue: tuple[str, dict[str, UUID], list[MailJob]]
) -> None:
    """It arrives there after as many receives as the queue allows, and nothing else does."""
    priority, _, good = queue
    for _ in range(MAX_RECEIVES):
        job_processes.deliver()
    assert NO_JOB in list_dead_letters(job_processes, priority)
    assert job_processes.deliver() == 0, "nothing goes round in the queue"
    done = sum(job_processes.records.read_job(job.id)["state"] == "done" for job in good)
    record("poison", queue=priority, good=len(good), done=done)
    assert done == len(good)
