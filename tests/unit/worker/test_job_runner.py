"""A job's run, step by step: what is asked of the database, when the mail leaves, and what is recorded of each end."""

from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from shared.database.transaction import Row
from shared.deadline import Deadline
from tests.unit.worker.running_worker import (
    DESK_FACTS,
    FACTS,
    JOB,
    LEASE,
    ORIGIN,
    SETTINGS,
    SPREAD_S,
    LogLines,
    RunningWorker,
    make_mail_row,
    make_outcome,
)
from worker.job_runner import MOST_HOPS, SQL, NotEnoughTime
from worker.mail_rendering import render_mail
from worker.retry_later import RetryLater
from worker.ses import Mail


def test_a_mail_is_claimed_marked_as_begun_and_sent_and_its_end_recorded() -> None:
    """This takes three round trips, and the end is recorded by the lease that this run has taken."""
    worker = RunningWorker(make_mail_row())
    assert worker.run() == "done"
    assert worker.list_queries() == ["claim_job", "job_with_recipient", "mark_job_begun", "record_job_outcome"]
    claim, select, mark, _ = (dict(each.params) for each in worker.database.statements)
    assert (claim, select, mark) == ({"id": JOB, "lease": LEASE}, {"id": JOB}, {"id": JOB, "lease": LEASE})
    assert worker.read_outcome() == make_outcome("done")
    assert len(worker.database.transactions) == 3
    assert worker.database.deadlines == [worker.deadline] * 3
    assert worker.steps == [("high", worker.deadline), "sent"]
    assert worker.queues.wake_ups == []


def test_a_mail_says_what_the_job_says_in_the_language_of_its_reader() -> None:
    """Its headers name the request that wrote the job, its tags the job."""
    worker = RunningWorker(make_mail_row())
    worker.run()
    rendered = render_mail("agent-approved", "sr", FACTS, link=SETTINGS.app_url)
    headers = {"X-Request-Id": "request-1", "X-Trace-Id": ORIGIN.span.trace_id}
    assert worker.mailer.sent == [
        Mail("besa@example.test", rendered.subject, rendered.text, rendered.html, headers),
    ]
    assert worker.mailer.tags == [{"job": str(JOB), "template": "agent-approved"}]


@pytest.mark.parametrize(("offset_h", "day"), [(0, "10"), (2, "11")])
def test_a_mail_to_the_desk_is_in_its_language_and_shows_the_days_of_its_country(offset_h: int, day: str) -> None:
    """A state that began half an hour before midnight in UTC began on the next day further east."""
    payload = {"template": "staff-sla-breach", "to": "desk", "facts": DESK_FACTS}
    worker = RunningWorker(make_mail_row(email=None, language=None, payload=payload))
    zone = timezone(timedelta(hours=offset_h))
    worker.runner = replace(worker.runner, mail_settings=replace(SETTINGS, time_zone=zone))
    assert worker.run() == "done"
    [mail] = worker.mailer.sent
    assert mail.to == "desk@interdomestik.test"
    assert mail.text == render_mail("staff-sla-breach", "mk", DESK_FACTS, link=SETTINGS.app_url, time_zone=zone).text
    assert f"{day} ноември 2026" in mail.text


@pytest.mark.parametrize(("left_s", "is_begun"), [(20.0, True), (19.999, False)])
def test_a_job_begins_only_with_time_enough(left_s: float, is_begun: bool) -> None:
    """A mail takes up to 17 s; nothing is asked of the database before."""
    worker = RunningWorker(make_mail_row())
    worker.deadline = Deadline(left_s, lambda: 0.0)
    if is_begun:
        assert worker.run() == "done"
        return
    with pytest.raises(NotEnoughTime):
        worker.run()
    assert worker.database.statements == []


@pytest.mark.parametrize(
    "job",
    [
        None,
        make_mail_row(state="done"),
        make_mail_row(state="pending"),
        make_mail_row(leased_until=LEASE + timedelta(microseconds=1)),
    ],
)
def test_a_job_that_is_not_this_runs_is_left_alone(job: Row | None, log: LogLines) -> None:
    """It is gone, or done, or not due, or another worker's."""
    worker = RunningWorker(job)
    assert worker.run() == "skipped"
    assert worker.list_queries() == ["claim_job", "job_with_recipient"]
    assert (worker.mailer.sent, worker.queues.wake_ups, log.lines) == ([], [], [])


def test_a_mail_whose_lease_was_lost_is_not_sent(log: LogLines) -> None:
    """The worker was slower than its lease: the job is another's, and so is its outcome."""
    worker = RunningWorker(make_mail_row())
    del worker.database.rows[SQL["mark_job_begun"]]
    assert worker.run() == "skipped"
    assert worker.list_queries()[-1] == "mark_job_begun"
    assert (worker.mailer.sent, log.lines) == ([], [])


def test_a_job_of_an_open_circuit_is_postponed_without_being_claimed() -> None:
    """In the round trip that would have claimed it; jobs that wait for one probe come back spread over two seconds."""
    worker = RunningWorker(make_mail_row(state="pending"), {"mail": 7.0, "identity": 0.0})
    assert worker.run() == "pending"
    assert worker.list_queries() == ["postpone_job", "claim_job", "job_with_recipient"]
    delay = timedelta(seconds=7 + SPREAD_S)
    assert dict(worker.database.statements[0].params) == {"id": JOB, "kind": "mail", "delay": delay}
    assert worker.queues.wake_ups == [9]
    assert worker.mailer.sent == []


def test_the_spread_is_drawn_from_nothing_to_two_seconds() -> None:
    """So not all jobs come at once, and none before the probe is due."""
    spans: list[tuple[float, float]] = []
    worker = RunningWorker(make_mail_row(state="pending"), {"mail": 7.0})

    def draw(low: float, high: float) -> float:
        spans.append((low, high))
        return 0.0

    worker.runner = replace(worker.runner, uniform=draw)
    worker.run()
    assert spans == [(0.0, SPREAD_S)]


@pytest.mark.parametrize("state", ["running", "pending"])
def test_an_open_circuit_of_another_kind_holds_no_job_up(state: str) -> None:
    """A job that is running is this run's to do; one that waits is not due."""
    worker = RunningWorker(make_mail_row(state=state), {"identity": 7.0})
    assert worker.run() == ("done" if state == "running" else "skipped")


def test_a_job_that_began_before_its_circuit_opened_is_run() -> None:
    """The circuit decides on the call itself."""
    assert RunningWorker(make_mail_row(), {"mail": 7.0}).run() == "done"


@pytest.mark.parametrize(
    ("delay_s", "hops", "woken"),
    [
        (3.2, 0, [(4, 1)]),
        (900.0, MOST_HOPS - 1, [(900, MOST_HOPS)]),
        (900.1, 0, []),
        (3.0, MOST_HOPS, []),
    ],
)
def test_the_relay_is_woken_when_the_job_is_due_unless_the_schedule_has_to_find_it(
    delay_s: float, hops: int, woken: list[tuple[int, int]]
) -> None:
    """Never too early; SQS delays by 15 minutes at most, and Lambda ends a long chain of messages."""
    worker = RunningWorker(make_mail_row())
    worker.fail_to_send(RetryLater("mail-rate", delay_s))
    assert worker.run(hops=hops) == "pending"
    assert list(zip(worker.queues.wake_ups, worker.queues.hops, strict=True)) == woken


def test_a_job_without_hops_begins_a_chain() -> None:
    """It came by the schedule, or by a person."""
    worker = RunningWorker(make_mail_row())
    worker.fail_to_send(RetryLater("mail-rate", 1.0))
    worker.runner.run_job(JOB, worker.deadline)
    assert worker.queues.hops == [1]
