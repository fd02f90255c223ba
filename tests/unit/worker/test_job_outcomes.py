"""The record and the log of each end of a job's run."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from shared.aws.errors import AwsError, OperatorActionNeeded, OutcomeUnknown, RequestRejected, ServiceUnavailable
from shared.database.transaction import Row
from shared.errors import Refusal, Unavailable
from tests.unit.worker.running_worker import (
    ACCOUNT,
    JOB,
    ORIGIN,
    SPREAD_S,
    LogLines,
    RunningWorker,
    make_identity_row,
    make_mail_row,
    make_outcome,
)
from worker.retry_later import RetryLater


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RequestRejected("MessageRejected"), make_outcome("failed", "MessageRejected")),
        (OutcomeUnknown("ReadTimeoutError"), make_outcome("uncertain", "ReadTimeoutError")),
        (OperatorActionNeeded("AccessDenied"), make_outcome("pending", "AccessDenied", 10, counted=False)),
        (ServiceUnavailable("Throttling"), make_outcome("pending", "Throttling", 10)),
        (RetryLater("mail-rate", 3.5), make_outcome("pending", "mail-rate", 3.5, counted=False)),
        (Unavailable("email", retry_after_s=5.0), make_outcome("pending", "circuit-open", 5 + SPREAD_S, counted=False)),
        (Refusal("identity-taken"), make_outcome("failed", "identity-taken")),
        (psycopg.errors.CheckViolation(), make_outcome("failed", "database-23514")),
    ],
)
def test_each_failure_has_its_outcome(error: Exception, outcome: dict[str, Any]) -> None:
    """It is tried again or not, at a time, and counts as an attempt or not."""
    worker = RunningWorker(make_mail_row())
    worker.fail_to_send(error)
    assert worker.run() == outcome["state"]
    assert worker.read_outcome() == outcome


def test_an_error_that_nobody_expects_is_raised_and_nothing_is_recorded() -> None:
    """The message is delivered again, and the alarm on failures rings."""
    worker = RunningWorker(make_mail_row())
    worker.fail_to_send(LookupError("?"))
    with pytest.raises(LookupError):
        worker.run()
    assert worker.list_queries()[-1] == "mark_job_begun"


@pytest.mark.parametrize(("attempts", "delay_s"), [(1, 10), (2, 20), (7, 640), (9, 900), (10, None)])
def test_waits_grow_with_the_attempts_and_the_tenth_fails(attempts: int, delay_s: float | None) -> None:
    """After about half an hour."""
    worker = RunningWorker(make_mail_row(attempts=attempts))
    worker.fail_to_send(ServiceUnavailable("Throttling"))
    worker.run()
    state = "failed" if delay_s is None else "pending"
    expected = make_outcome(state, "Throttling", delay_s or 0)
    assert worker.read_outcome() == expected


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (make_mail_row(email=None), "recipient-unknown"),
        (make_mail_row(payload={"template": "agent-approved", "to": f"account:{ACCOUNT}"}), "facts-missing"),
        (make_identity_row(email=None), "account-unknown"),
        (make_identity_row(role="member"), "identity-not-linked"),
    ],
)
def test_a_job_that_can_never_be_done_fails_before_anything_is_done(row: Row, error: str) -> None:
    """Its person is gone or another one, or its mail can't be written."""
    worker = RunningWorker(row)
    assert worker.run() == "failed"
    assert worker.read_outcome() == make_outcome("failed", error)
    assert worker.list_queries() == ["claim_job", "job_with_recipient", "record_job_outcome"]
    assert (worker.steps, worker.identities.people) == ([], {})


def test_a_sign_in_is_made_linked_and_given_its_group_in_this_order() -> None:
    """The group grants access, so it comes last."""
    worker = RunningWorker(make_identity_row())
    assert worker.run() == "done"
    person = worker.identities.people["besa@example.test"]
    assert person.groups == {"agent"}
    assert worker.list_queries() == [
        "claim_job", "job_with_recipient", "link_identity", "require_linked", "record_job_outcome",
    ]  # fmt: skip
    account = {"account_id": ACCOUNT, "email": "besa@example.test", "role": "agent", "sub": person.sub}
    link, require = (dict(each.params) for each in worker.database.statements[2:4])
    assert link == {"job_id": str(JOB), **account}
    assert require == account
    assert len(worker.database.transactions) == 3
    assert worker.database.deadlines == [worker.deadline] * 3


def test_a_sign_in_that_is_another_accounts_gets_no_group() -> None:
    """The database refuses to link it."""
    worker = RunningWorker(make_identity_row())
    worker.database.fails = [None, Refusal("identity-taken")]
    assert worker.run() == "failed"
    assert worker.read_outcome() == make_outcome("failed", "identity-taken")
    assert worker.identities.people["besa@example.test"].groups == set()


@pytest.mark.parametrize("error", [OutcomeUnknown("ReadTimeoutError"), ServiceUnavailable("TooManyRequests")])
def test_a_sign_in_of_unknown_fate_is_made_again(error: AwsError) -> None:
    """It is safe to repeat, as a mail is not."""
    worker = RunningWorker(make_identity_row())
    worker.identities.fails = [error]
    assert worker.run() == "pending"
    assert worker.read_outcome() == make_outcome("pending", error.code, 10)


@pytest.mark.parametrize(
    ("fail", "level", "state", "error"),
    [
        (lambda _worker: None, "info", "done", None),
        (lambda worker: worker.fail_to_send(RequestRejected("No")), "warning", "failed", "No"),
    ],
)
def test_each_run_is_logged_with_its_end_and_its_trace(
    log: LogLines, fail: Callable[[RunningWorker], None], level: str, state: str, error: str | None
) -> None:
    """Names and figures, and no person."""
    worker = RunningWorker(make_mail_row(attempts=3))
    fail(worker)
    worker.run()
    [(logged_level, event, fields)] = log.lines
    assert (logged_level, event) == (level, "job_finished")
    trace = {name: fields.pop(name) for name in ("request_id", "trace_id", "span_id", "parent_span_id")}
    assert (trace["request_id"], trace["trace_id"]) == ("request-1", ORIGIN.span.trace_id)
    assert trace["parent_span_id"] == ORIGIN.span.span_id
    assert fields == {
        "job_id": str(JOB),
        "kind": "mail",
        "template": "agent-approved",
        "attempts": 3,
        "state": state,
        "error": error,
        "duration_ms": 234.6,
    }
