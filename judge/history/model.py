"""A recorded history: calls, and the facts of the database, the outbox and the inbox to judge them by.

The lines of the file are described in docs/reference/history.md. Times of calls are seconds of the run, times of
commits are seconds of the database's clock; `clock` ties the two.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

UNDECIDED = frozenset({0, 500, 502, 503, 504})  # no answer, or an answer that leaves open whether the call was executed
ACCEPTED = range(200, 300)


@dataclass(frozen=True, slots=True)
class HistoryCall:
    """A call and its answer.

    `client` and `account` are pseudonyms of the network address and of the signed-in account. `target` is the record
    that was asked for, `record` and `version` are those of the answer, `items` those of a page.
    """

    id: int
    scenario: str
    operation: str
    route: str
    client: str
    begin: float
    end: float
    status: int
    account: str | None = None
    key: str | None = None
    target: str | None = None
    if_match: int | None = None
    problem: str = ""
    request: str = ""
    replayed: bool = False
    record: str | None = None
    version: int | None = None
    listing: str | None = None
    cursor: str | None = None
    next_cursor: str | None = None
    items: tuple[tuple[str, int | None], ...] | None = None

    @property
    def is_accepted(self) -> bool:
        """Return whether the answer says that the call was executed."""
        return self.status in ACCEPTED

    @property
    def is_undecided(self) -> bool:
        """Return whether it is open if the call was executed."""
        return self.status in UNDECIDED or self.problem == "request-in-progress"

    @property
    def is_refused(self) -> bool:
        """Return whether the answer says that the call was not executed."""
        return not (self.is_accepted or self.is_undecided)

    @property
    def is_read(self) -> bool:
        """Return whether the call only reads."""
        return self.route.startswith("GET ")


@dataclass(frozen=True, slots=True)
class PromisedLimit:
    """A bucket of `burst` calls, refilled evenly in `period_s` seconds, for each `address` or each `account`."""

    name: str
    burst: int
    period_s: float
    by: str
    routes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromisedEffect:
    """The effect of an accepted call: an audit entry with `action`, a version, and jobs by template.

    `always` is false for an operation that may change nothing. `jobs` may hold alternatives: `claim-moved|documents-
    requested`. `refused_actions` are written though the call is refused. `lists` is the operation that creates what a
    page of this one lists, `whose` is `own` or `all`.
    """

    operation: str
    action: str | None = None
    always: bool = True
    versioned: bool = False
    jobs: tuple[str, ...] = ()
    refused_actions: tuple[str, ...] = ()
    lists: str | None = None
    whose: str = "own"


@dataclass(frozen=True, slots=True)
class LoggedCommit:
    """A commit in PostgreSQL's own log: its transaction, its position, and the time that it carries."""

    xid: int
    lsn: int
    at: float


@dataclass(frozen=True, slots=True)
class AuditFact:
    """An audit entry: the request that wrote it, and the transaction that it committed with."""

    request: str
    action: str
    subject: str
    xid: int


@dataclass(frozen=True, slots=True)
class KeyFact:
    """The database's row of an Idempotency-Key."""

    key: str
    xid: int


@dataclass(frozen=True, slots=True)
class RowFact:
    """The version that a record has at the end."""

    record: str
    version: int


@dataclass(frozen=True, slots=True)
class JobFact:
    """A job of the outbox: the request that wrote it (its own id, if no request did), and its recipient if a mail."""

    id: str
    template: str
    request: str
    state: str
    to: str | None = None
    dropped: bool = False

    @property
    def is_mail(self) -> bool:
        """Return whether the job is a mail."""
        return self.to is not None


@dataclass(frozen=True, slots=True)
class MailFact:
    """A mail that has arrived: the request that it names in its header, and its recipient."""

    request: str
    to: str


@dataclass(frozen=True, slots=True)
class ClockReading:
    """A reading of the database's clock between two moments of the run."""

    before: float
    database: float
    after: float


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that a correct system can't have done. `subject` is an id, `detail` says what contradicts what."""

    kind: str
    subject: str
    detail: str


@dataclass
class RecordedHistory:
    """All lines of a history."""

    calls: list[HistoryCall] = field(default_factory=list)
    limits: list[PromisedLimit] = field(default_factory=list)
    effects: list[PromisedEffect] = field(default_factory=list)
    commits: list[LoggedCommit] = field(default_factory=list)
    audits: list[AuditFact] = field(default_factory=list)
    keys: list[KeyFact] = field(default_factory=list)
    rows: list[RowFact] = field(default_factory=list)
    jobs: list[JobFact] = field(default_factory=list)
    mails: list[MailFact] = field(default_factory=list)
    clock: list[ClockReading] = field(default_factory=list)

    @cached_property
    def commit_of(self) -> dict[int, LoggedCommit]:
        """Return the commits by transaction."""
        return {commit.xid: commit for commit in self.commits}

    @cached_property
    def audits_of_request(self) -> dict[str, list[AuditFact]]:
        """Return the audit entries by request."""
        found = defaultdict(list)
        for audit in self.audits:
            found[audit.request].append(audit)
        return found

    @cached_property
    def audits_of_xid(self) -> dict[int, list[AuditFact]]:
        """Return the audit entries by transaction."""
        found = defaultdict(list)
        for audit in self.audits:
            found[audit.xid].append(audit)
        return found

    @cached_property
    def xids_of_key(self) -> dict[str, list[int]]:
        """Return the transactions that have left a row of an Idempotency-Key; more than one is an anomaly."""
        found = defaultdict(list)
        for fact in self.keys:
            found[fact.key].append(fact.xid)
        return found

    @cached_property
    def effect_of(self) -> dict[str, PromisedEffect]:
        """Return the promised effects by operation."""
        return {effect.operation: effect for effect in self.effects}

    @cached_property
    def calls_of_key(self) -> dict[str, list[HistoryCall]]:
        """Return the calls of each Idempotency-Key, in the order of their beginnings."""
        found = defaultdict(list)
        for call in sorted(self.calls, key=lambda each: each.begin):
            if call.key is not None:
                found[call.key].append(call)
        return found

    def find_audit(self, call: HistoryCall) -> AuditFact | None:
        """Return the audit entry that a call wrote; None if it wrote none."""
        effect = self.effect_of.get(call.operation)
        if effect is None or effect.action is None or not call.request:
            return None
        return next((a for a in self.audits_of_request.get(call.request, ()) if a.action == effect.action), None)


@dataclass
class HistoryFindings:
    """The anomalies of a history, and how many things were judged, by what was judged."""

    anomalies: list[Anomaly] = field(default_factory=list)
    judged: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, kind: str, subject: str, detail: str) -> None:
        """Add an anomaly."""
        self.anomalies.append(Anomaly(kind, subject, detail))

    def count(self, what: str, how_many: int = 1) -> None:
        """Count things that were judged."""
        self.judged[what] += how_many
