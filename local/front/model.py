"""The front page's data, whose JSON is exactly these fields. Times are RFC 3339, UTC."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class PagePart(Generic[T_co]):
    """A part of the page: what was found, or why nothing could be read."""

    found: T_co
    problem: str = ""


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job of the outbox; `template` is empty for one that is no mail, `error` if its last attempt had none."""

    id: str
    kind: str
    template: str
    priority: str
    state: str
    attempts: int
    error: str
    created_at: str
    request_id: str


@dataclass(frozen=True, slots=True)
class MailLine:
    """A mail in the inbox, and the request that caused it, if it says so."""

    id: str
    subject: str
    to: str
    sent_at: str
    request_id: str


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A request that the gateway has answered, and what came of it.

    `request_id` is the function's X-Request-Id; without a function, as for a refusal, it is the gateway's own id.
    `refused_as` is the type of the gateway's refusal, empty if a function answered.
    """

    request_id: str
    gateway_id: str
    trace_id: str
    at: str
    method: str
    route: str
    status: int
    latency_ms: int
    function: str
    refused_as: str
    jobs: Sequence[JobLine] = ()
    mails: Sequence[MailLine] = ()


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step of a request's trace.

    `kind` is gateway, log, record, job or mail; `text` says what happened and `facts` the details.
    """

    at: str
    kind: str
    where: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TraceView:
    """All steps that name an id: of a request, of a trace, or of the gateway."""

    id: str
    requests: Sequence[RequestLine]
    steps: PagePart[Sequence[TraceStep]]


@dataclass(frozen=True, slots=True)
class EnvironmentLine:
    """The execution environments of a function."""

    function: str
    limit: int
    in_flight: int
    throttles: int
    states: dict[str, int]
    invocations: int
    pids: Sequence[int]


@dataclass(frozen=True, slots=True)
class QueueLine:
    """A queue's messages: waiting, being handled, and delayed."""

    name: str
    waiting: int
    in_flight: int
    delayed: int
    is_dead_letter: bool


@dataclass(frozen=True, slots=True)
class OutboxLine:
    """The jobs in one state, and the seconds since the oldest was written or last replayed; None if there is none."""

    state: str
    jobs: int
    oldest_s: int | None


@dataclass(frozen=True, slots=True)
class CircuitLine:
    """A circuit breaker, as the operations function describes it; `forced` says that somebody holds it in its state.

    `held_jobs` wait for it, None if the database did not answer; the first of them is tried at `held_until`, if ever.
    """

    name: str
    state: str
    forced: bool
    since: str
    probe_at: str
    failures: int
    held_jobs: int | None
    held_until: str


@dataclass(frozen=True, slots=True)
class AlarmLine:
    """An alarm of the stack."""

    name: str
    state: str
    description: str


@dataclass(frozen=True, slots=True)
class DatabaseAccess:
    """The ways to open the database: by make, or by any client."""

    command: str
    conninfo: str


@dataclass(frozen=True, slots=True)
class FrontView:
    """The front page; `jobs` are the oldest that are not done."""

    at: str
    requests: PagePart[Sequence[RequestLine]]
    outbox: PagePart[Sequence[OutboxLine]]
    jobs: PagePart[Sequence[JobLine]]
    queues: PagePart[Sequence[QueueLine]]
    circuits: PagePart[Sequence[CircuitLine]]
    environments: PagePart[Sequence[EnvironmentLine]]
    alarms: PagePart[Sequence[AlarmLine]]
    mails: PagePart[Sequence[MailLine]]
    database: DatabaseAccess

    def to_json(self) -> dict[str, Any]:
        """Return its fields, for the page's JSON."""
        return asdict(self)


PARTS = ("requests", "outbox", "jobs", "queues", "circuits", "environments", "alarms", "mails", "database")


def format_time(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
