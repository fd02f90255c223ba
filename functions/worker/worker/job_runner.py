"""The run of a job, from its claim to its recorded outcome.

A mail:      claim with facts (one round trip) → mark as begun (one round trip) → send → record (one round trip)
An identity: claim with facts (one round trip) → create → link (one round trip) → its group → record (one round trip)

A job whose circuit is open is not claimed: in the same round trip it is postponed until the probe's time.

A mail is sent at most once: if its outcome is unknown (no answer from SES, or a worker that died after marking the job
as begun, see `mark_abandoned_jobs`), the job is `uncertain` and stays so until a person replays it. Creating an
identity is safe to repeat, so it is repeated.
"""

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any, Protocol
from uuid import UUID

from shared.aws.cognito import IdentityProvider
from shared.aws.errors import AwsError, OperatorActionNeeded, OutcomeUnknown, RequestRejected
from shared.aws.sqs import MAX_DELAY_S, JobQueues
from shared.clock import Clock
from shared.database.errors import find_permanent_code
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction
from shared.deadline import Deadline
from shared.errors import Refusal, Unavailable
from shared.logging import count_version_failure, logger
from shared.outbox.payload import PAYLOAD_SQL, IdentityPayload, MailPayload, continue_trace
from shared.outbox.retry_policy import RETRY
from shared.settings import Settings
from shared.sql import load_queries
from shared.tracing import Trace
from worker.mail_rendering import MailRenderError, render_mail
from worker.retry_later import RetryLater
from worker.ses import Mail, Mailer

SQL = load_queries("worker", parts=PAYLOAD_SQL)

# Twice this function's timeout: a worker whose lease has expired has ended.
JOB_LEASE = timedelta(seconds=120)
# No job begins with less time left: 2 s to connect to SES, 15 s for its answer, and time to record the outcome.
JOB_TIME_S = 20.0
# Jobs that waited for the same probe come back spread over this time, so that they don't all arrive during it.
SPREAD_S = 2.0
# How often jobs may come back by messages: the worker wakes the relay, which publishes the job for the worker. Lambda
# takes the two for a loop, and stops a chain of messages that has invoked a function some 16 times. With four such hops
# a chain invokes each of them five times, and eleven functions in all. Then the relay's schedule begins a new chain.
MOST_HOPS = 4


class NotEnoughTime(Exception):
    """The job was not begun: too little time is left of the invocation."""


class LeaseLost(Exception):
    """The lease expired before the job began; another worker may own it."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The outcome of a run: new state, code of the error, delay before a retry, and whether the attempt counts."""

    state: str
    error: str | None = None
    delay_s: float = 0.0
    counted: bool = True


class CircuitWait(Protocol):
    """The circuit of the service that does a kind of job."""

    def measure_wait_s(self) -> float:
        """Return the seconds until a job may be tried, 0 if it may be tried now."""
        ...


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The addresses in mails: the claims desk's with its language, and the application's."""

    desk_mailbox: str
    desk_language: str
    app_url: str
    time_zone: tzinfo = Settings().time_zone  # mails show the dates of the stack's country


@dataclass(frozen=True, slots=True)
class JobRunner:
    """The worker's steps for a job: claim it, make its side effect, record the outcome."""

    database: Database
    mailer: Mailer
    identities: IdentityProvider
    queues: JobQueues
    mail_settings: MailSettings
    clock: Clock
    uniform: Callable[[float, float], float] = random.uniform
    # Returns when a mail of a priority may be sent; raises RetryLater if its job has to return to the queue.
    wait_for_slot: Callable[[str, Deadline], None] = lambda _priority, _deadline: None
    circuits: Mapping[str, CircuitWait] = field(default_factory=dict)  # by kind of job

    def run_job(self, job_id: UUID, deadline: Deadline, *, hops: int = 0) -> str:
        """Do a job and return its state afterwards, or "skipped" if it is not to be done (now).

        `hops` counts how often workers have woken the relay in the chain of messages that this job came by.
        Raise NotEnoughTime, before anything is done, and Unavailable if the database can't be reached: the message is
        delivered again.
        """
        if deadline.seconds_left < JOB_TIME_S:
            raise NotEnoughTime
        started, lease = time.perf_counter(), self.clock() + JOB_LEASE
        waits = self._read_circuit_waits()
        job = self.database.run(lambda tx: _claim_job(tx, job_id, lease, waits), deadline).value
        if job is None:
            return "skipped"
        trace = continue_trace(job["payload"], job_id=job_id)
        outcome = self._run_claimed_job(job, trace, lease, waits, deadline)
        if outcome is None:
            return "skipped"
        # Otherwise the schedule finds it.
        if outcome.state == "pending" and outcome.delay_s <= MAX_DELAY_S and hops < MOST_HOPS:
            delay_s = math.ceil(outcome.delay_s)  # a wake-up that is early finds nothing due
            self.queues.wake_relay(delay_s=delay_s, hops=hops + 1)
        _log_outcome(job, outcome, trace, time.perf_counter() - started)
        return outcome.state

    def _run_claimed_job(
        self, job: Row, trace: Trace, lease: datetime, waits: Mapping[str, float], deadline: Deadline
    ) -> JobOutcome | None:
        if job["state"] == "pending" and job["kind"] in waits:
            return _make_postponement(waits[job["kind"]])
        if job["state"] != "running" or job["leased_until"] != lease:
            return None
        try:
            outcome = self._perform_job(job, trace, deadline)
        except LeaseLost:
            return None
        self.database.run(lambda tx: _record_outcome(tx, job, outcome), deadline)
        return outcome

    def _read_circuit_waits(self) -> Mapping[str, float]:
        """Return the kinds of jobs that may not be tried now, and how long they wait."""
        waits = {kind: circuit.measure_wait_s() for kind, circuit in self.circuits.items()}
        return {kind: self._add_spread(wait_s) for kind, wait_s in waits.items() if wait_s > 0}

    def _add_spread(self, wait_s: float) -> float:
        return wait_s + self.uniform(0.0, SPREAD_S)

    def _perform_job(self, job: Row, trace: Trace, deadline: Deadline) -> JobOutcome:
        try:
            is_identity = job["kind"] == "identity"
            return self._create_identity(job, deadline) if is_identity else self._send_mail(job, trace, deadline)
        except RetryLater as error:
            return JobOutcome("pending", error.code, delay_s=error.delay_s, counted=False)
        except Unavailable as error:
            return _make_postponement(self._add_spread(error.retry_after_s))
        except MailRenderError as error:
            return _give_up(error.code)
        except Refusal as error:
            return JobOutcome("failed", error.name)
        except AwsError as error:
            return self._classify_failure(job, error)
        except Exception as error:
            code = find_permanent_code(error)
            if code is None:
                raise
            return _give_up(code)

    def _classify_failure(self, job: Row, error: AwsError) -> JobOutcome:
        if isinstance(error, RequestRejected):
            return JobOutcome("failed", error.code)
        if isinstance(error, OutcomeUnknown) and job["kind"] == "mail":
            return JobOutcome("uncertain", error.code)
        if isinstance(error, OperatorActionNeeded):
            # However long the fix takes, it must not fail this job: its attempts are not counted.
            return JobOutcome("pending", error.code, delay_s=RETRY.compute_delay(0, self.uniform), counted=False)
        return self._schedule_retry(job, error.code)

    def _send_mail(self, job: Row, trace: Trace, deadline: Deadline) -> JobOutcome:
        payload, settings = MailPayload.read(job["payload"]), self.mail_settings
        to, language = self._find_recipient(job, payload)
        rendered = render_mail(
            payload.template, language, payload.facts, link=settings.app_url, time_zone=settings.time_zone
        )
        mail = Mail(
            to=to,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            headers={"X-Request-Id": trace.request_id, "X-Trace-Id": trace.span.trace_id},
        )
        self.wait_for_slot(job["priority"], deadline)
        if self.database.run(lambda tx: _mark_begun(tx, job), deadline).value is None:
            raise LeaseLost
        self.mailer.send(mail, tags={"job": str(job["id"]), "template": payload.template})
        return JobOutcome("done")

    def _find_recipient(self, job: Row, payload: MailPayload) -> tuple[str, str]:
        if payload.is_to_desk:
            return self.mail_settings.desk_mailbox, self.mail_settings.desk_language
        if job["email"] is None:
            raise RequestRejected("recipient-unknown")
        return job["email"], job["language"]

    def _create_identity(self, job: Row, deadline: Deadline) -> JobOutcome:
        if job["email"] is None:
            raise RequestRejected("account-unknown")
        payload = IdentityPayload.read(job["payload"])
        if job["role"] != payload.group:
            raise RequestRejected("identity-not-linked")
        sub = self.identities.find_or_create(job["email"])
        self.database.run(lambda tx: _link_identity(tx, job, payload, sub), deadline)
        # Last, because the group grants access: a sub of another account is refused above.
        self.identities.add_to_group(sub, payload.group)
        return JobOutcome("done")

    def _schedule_retry(self, job: Row, code: str) -> JobOutcome:
        attempts = job["attempts"]
        if attempts > RETRY.retries:
            return JobOutcome("failed", code)
        return JobOutcome("pending", code, delay_s=RETRY.compute_delay(attempts - 1, self.uniform))


def _give_up(code: str) -> JobOutcome:
    """Return the outcome of a job that this version's own code or statements can't do: no service has refused it.

    Nobody repeats such a job by itself, so a release whose version gives up a single one is taken back.
    """
    count_version_failure()
    return JobOutcome("failed", code)


def _make_postponement(delay_s: float) -> JobOutcome:
    """Return the outcome of a job that was not tried because its circuit is open."""
    return JobOutcome("pending", "circuit-open", delay_s=delay_s, counted=False)


def _claim_job(tx: Transaction, job_id: UUID, lease: datetime, waits: Mapping[str, float]) -> Pending[Row | None]:
    for kind, wait_s in waits.items():
        tx.add(SQL["postpone_job"], id=job_id, kind=kind, delay=timedelta(seconds=wait_s))
    # A retry of this transaction recognises its first attempt by the lease, and does not count another attempt.
    tx.add(SQL["claim_job"], id=job_id, lease=lease)
    return tx.fetch_one(SQL["job_with_recipient"], id=job_id)


def _mark_begun(tx: Transaction, job: Row) -> Pending[Row | None]:
    return tx.fetch_one(SQL["mark_job_begun"], id=job["id"], lease=job["leased_until"])


def _link_identity(tx: Transaction, job: Row, payload: IdentityPayload, sub: str) -> Pending[None]:
    account = {"account_id": payload.account_id, "email": job["email"], "role": payload.group, "sub": sub}
    tx.add(SQL["link_identity"], job_id=str(job["id"]), **account)
    tx.add(SQL["require_linked"], **account)
    return Pending(lambda: None)


def _record_outcome(tx: Transaction, job: Row, outcome: JobOutcome) -> Pending[None]:
    tx.add(
        SQL["record_job_outcome"],
        id=job["id"],
        lease=job["leased_until"],
        state=outcome.state,
        error=outcome.error,
        delay=timedelta(seconds=outcome.delay_s),
        counted=outcome.counted,
    )
    return Pending(lambda: None)


def _log_outcome(job: Mapping[str, Any], outcome: JobOutcome, trace: Trace, seconds: float) -> None:
    fields = {
        "job_id": str(job["id"]),
        "kind": job["kind"],
        "template": job["template"],
        "attempts": job["attempts"],
        "state": outcome.state,
        "error": outcome.error,
        "duration_ms": round(seconds * 1000, 1),
        **trace.log_fields,
    }
    log = logger.info if outcome.state == "done" else logger.warning
    log("job_finished", extra=fields)
