"""The deep check: queries all dependencies at once, within a time limit, and caches the result for a few seconds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Protocol

from health import service
from health.model import DependencyChecks, Findings, TransactionRetries
from health.parallel_queries import HealthQuery, ParallelQueries, QueryOutcome
from shared.aws.dynamodb_shared_state import LastWriter, SharedState
from shared.clock import Clock, read_monotonic

# The whole check takes at most 2 s: the queries have 1.5 s, storing a new writer the rest.
QUERIES_S = 1.5
CHECK_S = 2.0

# More frequent checks show nothing new, and would only burden a failing database.
CACHED_FOR = timedelta(seconds=5)

# The queries of services with a circuit; their names are those of the report.
DATABASE, STATE_STORE = "database", "state_store"
SERVICES = ("email", "identity", "storage", "queue", STATE_STORE)

UNKNOWN_STATE = SharedState(circuits={}, server=None, retries=0)


class WriterRegistry(Protocol):
    """The store of the last database writer that any environment saw."""

    def change_server(self, seen: LastWriter | None, now: LastWriter) -> bool:
        """Replace the writer that was seen, unless another environment has already done so."""
        ...


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check; `failed_over` is true only if this check was the first of all to see another writer."""

    findings: Findings
    failed_over: bool
    jobs: service.OutboxCounts | None = None
    has_late_jobs: bool | None = None


class DeepCheck:
    """The check of all dependencies.

    `make_queries` returns the queries of one check: one named "database" that returns a DatabaseAnswer, and one for
    each of SERVICES, of which "state_store" returns the SharedState.
    """

    def __init__(
        self,
        make_queries: Callable[[], Sequence[HealthQuery]],
        writers: WriterRegistry,
        *,
        version: str,
        max_connections: int,
        mail_rate: float,
        clock: Clock,
        queries: ParallelQueries | None = None,
    ) -> None:
        self._make_queries = make_queries
        self._writers = writers
        self._version = version
        self._max_connections = max_connections
        self._mail_rate = mail_rate
        self._clock = clock
        self._queries = queries or ParallelQueries()
        self._shared_state = UNKNOWN_STATE
        self._lock = Lock()
        self._last_result: CheckResult | None = None

    def run(self) -> CheckResult:
        """Return the result of a check, or the last one if it is recent; of concurrent callers only one checks."""
        with self._lock:
            last, now = self._last_result, self._clock()
            if last is not None and timedelta(0) <= now - last.findings.checked_at < CACHED_FOR:
                return replace(last, failed_over=False)
            self._last_result = self._check(now)
            return self._last_result

    def _check(self, now: datetime) -> CheckResult:
        queries, until = self._make_queries(), read_monotonic() + CHECK_S
        outcomes = self._queries.run(queries, within_s=QUERIES_S)
        if shared_state := outcomes[STATE_STORE].value:
            self._shared_state = shared_state
        failed_over = self._note_other_writer(outcomes, now, until)
        jobs = found.jobs if (found := outcomes[DATABASE].value) else None
        late = service.has_late_jobs(jobs, self._mail_rate) if jobs else None
        return CheckResult(self._collect_findings(outcomes, now), failed_over, jobs, late)

    def _note_other_writer(self, outcomes: Mapping[str, QueryOutcome], now: datetime, until: float) -> bool:
        """Store the current writer if it is a new one.

        Return whether this check was the first to store a replacement.
        """
        found, seen = outcomes[DATABASE].value, self._shared_state.server
        if found is None or not found.writable or (seen is not None and seen.server == found.server):
            return False
        server = LastWriter(found.server, now if seen else None)
        self._shared_state = replace(self._shared_state, server=server)
        noted = not outcomes[STATE_STORE].failed and self._write_writer(seen, server, until)
        return noted and seen is not None

    def _write_writer(self, seen: LastWriter | None, server: LastWriter, until: float) -> bool:
        query = HealthQuery("note", lambda: self._writers.change_server(seen, server))
        return self._queries.run([query], within_s=until - read_monotonic())["note"].value is True

    def _collect_findings(self, outcomes: Mapping[str, QueryOutcome], now: datetime) -> Findings:
        found = outcomes[DATABASE].value
        jobs = found.jobs if found else None
        is_state_known = not outcomes[STATE_STORE].failed
        checks = self._collect_checks(outcomes, late=service.has_late_or_stuck_jobs(jobs, self._mail_rate), now=now)
        return Findings(
            status=service.combine_status(checks),
            version=self._version,
            checked_at=now,
            checks=checks,
            jobs=jobs.shown if jobs else service.NO_JOBS_KNOWN,
            transaction_retries=TransactionRetries(last_minute=self._shared_state.retries if is_state_known else None),
        )

    def _collect_checks(self, outcomes: Mapping[str, QueryOutcome], *, late: bool, now: datetime) -> DependencyChecks:
        failover = service.find_last_failover(self._shared_state.server, now)
        services = {
            name: service.build_service_check(
                outcomes[name], self._shared_state.find_circuit(name), late=late and name == "queue"
            )
            for name in SERVICES
        }
        database = service.build_database_check(outcomes[DATABASE], most=self._max_connections, failover=failover)
        return DependencyChecks(database=database, **services)
