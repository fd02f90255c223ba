"""A worker without a database or services: the row of its job is given, and what it does is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from shared.database.pipeline import Database
from shared.database.transaction import Row
from shared.deadline import Deadline
from shared.tracing import begin_trace
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeJobQueues
from tests.fakes.transactions import ScriptedTransactionRunner
from worker.job_runner import SQL, JobRunner, MailSettings
from worker.ses import Mail

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LEASE = NOW + timedelta(seconds=120)
JOB, ACCOUNT = UUID(int=1), UUID(int=2)
ORIGIN = begin_trace("request-1")
SETTINGS = MailSettings("desk@interdomestik.test", "mk", "https://app.example.test", UTC)
FACTS = {"full_name": "Besa Hoxha", "referral_code": "ARTA-7K3F"}
DESK_FACTS = {
    "claim_number": "CLM-2026-000045",
    "state": "verification",
    "state_since": "2026-11-10T23:30:00+00:00",
    "days": "7",
}
SPREAD_S = 2.0


def make_mail_row(**changes: Any) -> Row:
    """Return the row of a mail that this run has claimed."""
    return {
        "id": JOB,
        "kind": "mail",
        "priority": "high",
        "state": "running",
        "attempts": 1,
        "leased_until": LEASE,
        "language": "sr",
        "role": "agent",
        "email": "besa@example.test",
        "template": "agent-approved",
        "payload": {
            "template": "agent-approved",
            "to": f"account:{ACCOUNT}",
            "facts": FACTS,
            "origin": {"request_id": "request-1", "traceparent": ORIGIN.span.format_traceparent()},
        },
    } | changes


def make_identity_row(**changes: Any) -> Row:
    """Return the row of a sign-in that this run has claimed."""
    payload = {"account_id": str(ACCOUNT), "group": "agent"}
    return make_mail_row(kind="identity", template=None, payload=payload) | changes


@dataclass
class RunningWorker:
    """A worker whose database has this job. `steps` are its steps outside the database, in their order."""

    job: Row | None
    circuit_waits_s: Mapping[str, float] = field(default_factory=dict)
    steps: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = {SQL["mark_job_begun"]: {"id": JOB}}
        if self.job is not None:
            rows[SQL["job_with_recipient"]] = self.job
        self.database = ScriptedTransactionRunner(rows)
        self.mailer = FakeMailer(lambda _mail: self.steps.append("sent"))
        self.identities, self.queues = FakeIdentityProvider(), FakeJobQueues()
        self.deadline = Deadline(60.0, lambda: 0.0)
        self.runner = JobRunner(
            cast("Database", self.database),
            self.mailer,
            self.identities,
            self.queues,
            SETTINGS,
            lambda: NOW,
            uniform=lambda _low, high: high,
            wait_for_slot=lambda priority, deadline: self.steps.append((priority, deadline)),
            circuits={kind: FixedCircuit(wait_s) for kind, wait_s in self.circuit_waits_s.items()},
        )

    def run(self, *, hops: int = 0) -> str:
        """Run the job."""
        return self.runner.run_job(JOB, self.deadline, hops=hops)

    def fail_to_send(self, error: Exception) -> None:
        """Have the mailer raise."""

        def answer(_mail: Mail) -> None:
            raise error

        self.mailer.answer = answer

    def list_queries(self) -> list[str]:
        """Return the names of the statements that were sent."""
        names = {query: name for name, query in SQL.items()}
        return [names[statement.query] for statement in self.database.statements]

    def read_outcome(self) -> dict[str, Any]:
        """Return the parameters with which the outcome was recorded."""
        [outcome] = [each.params for each in self.database.statements if each.query == SQL["record_job_outcome"]]
        return dict(outcome)


@dataclass(frozen=True)
class FixedCircuit:
    """A circuit that always says the same."""

    wait_s: float

    def measure_wait_s(self) -> float:
        """See CircuitWait."""
        return self.wait_s


@dataclass
class LogLines:
    """The lines that were logged, by their level."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def info(self, event: str, *, extra: dict[str, Any]) -> None:
        """Keep a line."""
        self.lines.append(("info", event, extra))

    def warning(self, event: str, *, extra: dict[str, Any]) -> None:
        """Keep a line."""
        self.lines.append(("warning", event, extra))


def make_outcome(state: str, error: str | None = None, delay_s: float = 0, *, counted: bool = True) -> dict[str, Any]:
    """Return the parameters of an outcome as it is recorded."""
    delay = timedelta(seconds=delay_s)
    return {"id": JOB, "lease": LEASE, "state": state, "error": error, "delay": delay, "counted": counted}
