"""Poison blocks nobody: what can't be done stands first in line, and all behind it is done all the same."""

from typing import Any
from uuid import UUID

import pytest

from shared.outbox.retry_policy import MOST_ATTEMPTS
from tests.figures import record
from tests.killing.jobs import LONG, MailJob, Office
from tests.killing.world import MAX_RECEIVES, PRIORITIES, Processes, World

GOOD = 100
NO_JOB = "not a job at all"


@pytest.fixture(scope="module")
def office(killing: World, processes: Processes) -> Office:
    """The jobs' functions, on queues that give a message up after so many tries as the template's."""
    return Office(killing, processes)


def url(office: Office, priority: str) -> str:
    return office.world.environment[f"QUEUE_{priority.upper()}_URL"]


def dead_letters(office: Office, priority: str) -> list[str]:
    """The messages that the queue has given up."""
    found = office.world.client("sqs").receive_message(QueueUrl=url(office, priority) + "-dead", MaxNumberOfMessages=10)
    return [message["Body"] for message in found.get("Messages", [])]


def poison(office: Office, priority: str) -> dict[str, UUID]:
    """Jobs that can't be done, by what is wrong with them."""
    nobody = office.records.member(email=f"two\nlines.{priority}@example.test")
    somebody = office.records.member()
    columns: dict[str, Any] = {"priority": priority}
    return {
        "template-unknown": office.records.mail("no-such-mail", somebody, to=somebody, **columns),
        "facts-missing": office.records.mail("claim-received", somebody, to=somebody, **columns),
        "HeaderInjection": office.records.mail("member-welcome", nobody, to=nobody, **columns),
        "abandoned": office.records.job("mail", somebody, {"nothing": "that a worker knows"}, **columns),
    }


@pytest.fixture(scope="module", params=PRIORITIES)
def queue(request: pytest.FixtureRequest, office: Office) -> tuple[str, dict[str, UUID], list[MailJob]]:
    """One priority: its poison, the good mails behind it, and all of it delivered once."""
    priority: str = request.param
    office.world.client("sqs").send_message(QueueUrl=url(office, priority), MessageBody=NO_JOB)
    bad = poison(office, priority)
    good = office.mails(GOOD, priority=priority)
    office.relay()
    office.deliver()
    return priority, bad, good


def test_all_that_stands_behind_poison_is_done_at_the_first_delivery(
    office: Office, queue: tuple[str, dict[str, UUID], list[MailJob]]
) -> None:
    """In the same batches, by the same workers."""
    _, _, good = queue
    states = office.records.states()
    assert {states[job.id] for job in good} == {"done"}
    assert set(office.sent(*good)) == {1}


def test_poison_has_failed_after_its_tries_with_the_reason_for_a_person(
    office: Office, queue: tuple[str, dict[str, UUID], list[MailJob]]
) -> None:
    """At once where it is refused; a job that no worker survives, after as many as any other job has."""
    _, bad, _ = queue
    for _ in range(MOST_ATTEMPTS):
        office.records.later(bad["abandoned"], LONG)
        office.relay()
        office.deliver()
    rows = {error: office.records.at(job) for error, job in bad.items()}
    assert {error: (row["state"], row["last_error"]) for error, row in rows.items()} == {
        error: ("failed", error) for error in bad
    }
    assert rows.pop("abandoned")["attempts"] == MOST_ATTEMPTS
    assert {row["attempts"] for row in rows.values()} == {1}


def test_a_message_that_is_no_job_ends_among_the_dead_letters(
    office: Office, queue: tuple[str, dict[str, UUID], list[MailJob]]
) -> None:
    """After as many receives as the queue allows, and nothing else is there."""
    priority, _, good = queue
    for _ in range(MAX_RECEIVES):
        office.deliver()
    assert NO_JOB in dead_letters(office, priority)
    assert office.deliver() == 0, "nothing goes round in the queue"
    done = sum(office.records.at(job.id)["state"] == "done" for job in good)
    record("poison", queue=priority, good=len(good), done=done)
    assert done == len(good)
