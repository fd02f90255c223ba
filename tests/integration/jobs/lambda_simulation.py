"""Relay and worker on real PostgreSQL in virtual time, with SQS and Lambda simulated around them.

Queues, their mappings and the relay's schedule are those of template.yaml. Lambda counts the invocations of each chain
of requests as the local cloud does, and stops a loop. PostgreSQL's time is virtual as well: a function `now` of the
tests' own stands before the built-in one in the roles' search path.
"""

import heapq
import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg

from local.runtime.lineage import RecursionStopped, continue_chain, count_invocations, find_longest_chain
from relay.app import relay_due_jobs
from shared.aws.errors import ServiceUnavailable
from shared.aws.sqs import SqsJobQueues
from shared.database.pipeline import Database
from shared.errors import Unavailable
from shared.settings import Settings
from shared.units import SECOND
from tests.breakers import ManualTime, make_service_breaker
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.circuits import InMemoryCircuitStore
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from tests.settings.deployed import load_template
from worker.app import run_batch
from worker.circuit_protected import CircuitProtectedIdentityProvider, CircuitProtectedMailer
from worker.job_runner import JobRunner, MailSettings
from worker.ses import Mail

OFFICE = MailSettings("desk@interdomestik.test", "mk", "https://app.example.test")
WAKE_UPS, WORKER, RELAY = "NudgeQueue", "WorkerFunction", "RelayFunction"
LONG = 60.0
VIRTUAL_TIME = """
CREATE SCHEMA virtual;
CREATE TABLE virtual.clock (at timestamptz NOT NULL);
INSERT INTO virtual.clock VALUES ('2026-11-02');
CREATE FUNCTION virtual.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM virtual.clock';
GRANT USAGE ON SCHEMA virtual TO PUBLIC;
GRANT SELECT ON virtual.clock TO PUBLIC;
"""


@dataclass
class SimulatedMessage:
    """A message in a queue: its body, the trace header that it was sent with, and how often it was received."""

    body: str
    trace: str
    id: str = field(default_factory=lambda: str(uuid4()))
    received: int = 0


@dataclass
class SimulatedQueue:
    """A queue with its mapping, as deployed. `most_receives` is None if it has no dead-letter queue."""

    function: str
    batch: int
    visibility_s: int
    most_receives: int | None
    ready: list[SimulatedMessage] = field(default_factory=list)
    dead: list[SimulatedMessage] = field(default_factory=list)


def read_queues() -> dict[str, SimulatedQueue]:
    """The queues of template.yaml, by logical id."""
    resources = load_template()["Resources"]

    def read_queue(name: str, mapping: str, function: str) -> SimulatedQueue:
        queue = resources[name]["Properties"]
        most = queue.get("RedrivePolicy", {}).get("maxReceiveCount")
        return SimulatedQueue(function, resources[mapping]["Properties"]["BatchSize"], queue["VisibilityTimeout"], most)

    jobs = {f"Queue{p}": read_queue(f"Queue{p}", f"{p}Mapping", WORKER) for p in ("High", "Normal", "Low")}
    return {**jobs, WAKE_UPS: read_queue(WAKE_UPS, "NudgeMapping", RELAY)}


def read_sweep_s() -> int:
    """The seconds between two runs of the relay by its schedule."""
    schedule = load_template()["Resources"][RELAY]["Properties"]["Events"]["EveryMinute"]["Properties"]["Schedule"]
    found = re.fullmatch(r"rate\((\d+) minutes?\)", schedule)
    assert found is not None
    return 60 * int(found[1])


class SwitchableDatabase:
    """A database that can be out of reach."""

    def __init__(self, database: Database) -> None:
        self.is_reachable = True
        self._database = database

    def run(self, *arguments: Any, **options: Any) -> Any:
        """Run a transaction, or fail as a database does that refuses every connection."""
        if not self.is_reachable:
            raise Unavailable("database", retry_after_s=1)
        return self._database.run(*arguments, **options)


class SwitchableIdentityProvider(FakeIdentityProvider):
    """A user pool that can be out of reach."""

    is_reachable = True

    def find_or_create(self, email: str) -> str:
        """See FakeIdentityProvider.find_or_create."""
        if not self.is_reachable:
            raise ServiceUnavailable("EndpointConnectionError")
        return super().find_or_create(email)


class SimulatedLambda:
    """The functions with their queues; `run_until` lets time pass. Also the SQS client that the functions have."""

    def __init__(self, fresh_database: FreshDatabase, database: Database, seed: int) -> None:
        self.queues = read_queues()
        self.time = ManualTime()
        self.mailer, self.identities = FakeMailer(self._note_sent), SwitchableIdentityProvider()
        self.store = InMemoryCircuitStore()
        self.sent_at: list[int] = []  # microseconds, of the mails
        self.database = SwitchableDatabase(database)
        self.stopped: list[str] = []  # invocations, by their function
        self.longest_chain = 0
        self.invocations = 0
        self._trace = ""  # `_X_AMZN_TRACE_ID` of the running invocation
        self._visible_again: dict[str, float] = {}
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._owner = psycopg.connect(
            fresh_database.postgres.build_conninfo(dbname=fresh_database.name), autocommit=True
        )
        self._jobs = SqsJobQueues(
            self,  # type: ignore[arg-type]
            urls={"high": "QueueHigh", "normal": "QueueNormal", "low": "QueueLow"},
            wake_up_url=WAKE_UPS,
        )
        self._runner = self._make_runner(random.Random(seed).uniform)

    def _make_runner(self, uniform: Callable[[float, float], float]) -> JobRunner:
        breakers = {name: make_service_breaker(self.store, self.time, policy) for name, policy in POLICIES.items()}
        return JobRunner(
            self.database,  # type: ignore[arg-type]
            CircuitProtectedMailer(self.mailer, breakers["email"]),
            CircuitProtectedIdentityProvider(self.identities, breakers["identity"]),
            self._jobs,
            OFFICE,
            self.read_time,
            uniform=uniform,
            circuits={"mail": breakers["email"], "identity": breakers["identity"]},
        )

    def set_services(self, *, reachable: bool) -> None:
        """From now on SES and Cognito answer, or refuse connections."""
        self.identities.is_reachable = reachable
        self.mailer.answer = self._note_sent if reachable else _refuse_mail

    def _note_sent(self, _mail: Mail) -> None:
        self.sent_at.append(self.time.micros)

    def read_time(self) -> datetime:
        """The virtual time."""
        return datetime.fromtimestamp(self.time.micros / SECOND, UTC)

    @property
    def dead_letters(self) -> list[SimulatedMessage]:
        """Return the messages in the dead-letter queues."""
        return [message for queue in self.queues.values() for message in queue.dead]

    def run_until(self, micros: int) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= micros:
            at, _, happen = heapq.heappop(self._events)
            self._set_time(max(at, self.time.micros))
            happen()
        self._set_time(micros)

    def run_for(self, seconds: float) -> None:
        """Let this many seconds pass."""
        self.run_until(self.time.micros + round(seconds * SECOND))

    def wake_relay(self) -> None:
        """Wake the relay as a request does, whose chain begins with it."""
        self._trace = continue_chain("", "MembersFunction")
        self._jobs.wake_relay()

    def run_relay(self) -> None:
        """Run the relay at once, outside its schedule."""
        self._invoke(RELAY, {"source": "aws.events"}, "")

    def start_schedule(self, first_s: float) -> None:
        """Run the relay by its schedule from then on."""

        def sweep() -> None:
            self._schedule(read_sweep_s(), sweep)
            self.run_relay()

        self._schedule(first_s, sweep)

    def _schedule(self, after_s: float, happen: Callable[[], None]) -> None:
        due = self.time.micros + round(after_s * SECOND)
        heapq.heappush(self._events, (due, next(self._numbers), happen))

    def _set_time(self, micros: int) -> None:
        self.time.micros = micros
        self._owner.execute("UPDATE virtual.clock SET at = %s", [self.read_time()])

    # SQS, as a client

    def send_message(self, *, QueueUrl: str, MessageBody: str, DelaySeconds: int = 0) -> None:  # noqa: N803
        """Queue a message with the trace header that botocore sends."""
        self._show(QueueUrl, SimulatedMessage(MessageBody, self._trace), DelaySeconds)

    def send_message_batch(self, *, QueueUrl: str, Entries: list[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """Queue several."""
        for entry in Entries:
            self.send_message(QueueUrl=QueueUrl, MessageBody=entry["MessageBody"])
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: N803
        """Note when a received message becomes visible again."""
        self._visible_again[ReceiptHandle] = VisibilityTimeout

    def _show(self, name: str, message: SimulatedMessage, after_s: float) -> None:
        def arrive() -> None:
            self.queues[name].ready.append(message)
            self._schedule(0, lambda: self._receive(name))  # after what arrives at the same moment

        self._schedule(after_s, arrive)

    # Lambda

    def _receive(self, name: str) -> None:
        queue = self.queues[name]
        batch, queue.ready = queue.ready[: queue.batch], queue.ready[queue.batch :]
        for message in batch:
            message.received += 1
        alive = [m for m in batch if queue.most_receives is None or m.received <= queue.most_receives]
        queue.dead += [message for message in batch if message not in alive]
        if alive:
            self._handle_batch(name, queue, alive)

    def _handle_batch(self, name: str, queue: SimulatedQueue, batch: list[SimulatedMessage]) -> None:
        event = {"Records": [build_record(message, name) for message in batch]}
        failed = self._invoke(queue.function, event, find_longest_chain(message.trace for message in batch))
        for message in batch:
            if failed is None or message.id in failed:
                self._show(name, message, self._visible_again.pop(message.id, queue.visibility_s))

    def _invoke(self, function: str, event: dict[str, Any], trace: str) -> set[str] | None:
        """Invoke a function; return the messages that it did not handle, None if it was not invoked or failed."""
        try:
            self._trace = continue_chain(trace, function)
        except RecursionStopped:
            self.stopped.append(function)
            return None
        self.invocations += 1
        self.longest_chain = max(self.longest_chain, count_invocations(self._trace))
        if function == WORKER:
            answer = run_batch(event, make_deadline(LONG), self._runner)
            return {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        try:
            relay_due_jobs(event, self.database, self._jobs, clock=self.read_time, deadline=make_deadline(LONG))  # type: ignore[arg-type]
        except Unavailable:
            return None
        return set()

    def close(self) -> None:
        """Close the connection that moves the database's time."""
        self._owner.close()


def _refuse_mail(_mail: Mail) -> None:
    raise ServiceUnavailable("EndpointConnectionError")


POLICIES = {name: Settings().find_circuit_policy(name) for name in ("email", "identity")}


def build_record(message: SimulatedMessage, queue: str) -> dict[str, Any]:
    """The record of an SQS event."""
    return {
        "messageId": message.id,
        "receiptHandle": message.id,
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.received), "AWSTraceHeader": message.trace},
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:eu-central-1:111122223333:{queue}",
        "awsRegion": "eu-central-1",
    }


@contextmanager
def simulate_lambda(fresh_database: FreshDatabase, database: Database, *, seed: int = 1) -> Iterator[SimulatedLambda]:
    """Relay and worker with their queues, the schedule running, on a database whose time they set."""
    fresh_database.query_rows(VIRTUAL_TIME)
    fresh_database.change_role("search_path = virtual, pg_catalog, public")
    simulation = SimulatedLambda(fresh_database, database, seed)
    simulation.start_schedule(random.Random(seed).uniform(0, read_sweep_s()))
    simulation.run_for(0)
    try:
        yield simulation
    finally:
        simulation.close()
        fresh_database.reset_role()
