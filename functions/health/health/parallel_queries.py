"""Health queries that run at the same time, each in a thread, and end at a deadline whether they return or not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from shared.clock import read_monotonic
from shared.logging import describe_failure, observe

# Returns seconds that never go back.
MonotonicClock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class HealthQuery:
    """A query about a dependency: `ask` raises if the dependency does not work."""

    name: str
    ask: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """The outcome of a query: `value` is its result if it did not fail; the latency is in seconds."""

    failed: bool
    latency_s: float
    value: Any = None


@dataclass(slots=True)
class _RunningQuery:
    query: HealthQuery
    started: float
    clock: MonotonicClock
    done: Event = field(default_factory=Event)
    outcome: QueryOutcome | None = None

    def run(self) -> None:
        try:
            value = self.query.ask()
            self.outcome = QueryOutcome(failed=False, latency_s=self._measure_elapsed(), value=value)
        except Exception as error:  # noqa: BLE001 - whatever it was, the query failed
            self.outcome = QueryOutcome(failed=True, latency_s=self._measure_elapsed())
            code = getattr(error, "code", None)
            observe("health_query_failed", {"query": self.query.name, "code": code, **describe_failure(error)})
        finally:
            self.done.set()

    def _measure_elapsed(self) -> float:
        return self.clock() - self.started

    def wait(self, until: float) -> QueryOutcome:
        """Return the outcome, which is a failure if there is none in time."""
        self.done.wait(max(0.0, until - self.clock()))
        if self.outcome is not None:
            return self.outcome
        observe("health_query_late", {"query": self.query.name})
        return QueryOutcome(failed=True, latency_s=self._measure_elapsed())


class ParallelQueries:
    """The runner of queries, each in a thread.

    A query that hangs keeps its thread, and is not run again before that thread has ended.
    """

    def __init__(self, *, clock: MonotonicClock = read_monotonic) -> None:
        self._clock = clock
        self._runs: dict[str, _RunningQuery] = {}

    def run(self, queries: Sequence[HealthQuery], *, within_s: float) -> Mapping[str, QueryOutcome]:
        """Return the outcome of each query by name, after `within_s` seconds at most."""
        began = self._clock()
        runs = {query.name: self._begin(query) for query in queries}
        return {
            name: run.wait(began + within_s)
            if run
            else QueryOutcome(failed=True, latency_s=self._measure_hanging_s(name))
            for name, run in runs.items()
        }

    def _begin(self, query: HealthQuery) -> _RunningQuery | None:
        last = self._runs.get(query.name)
        if last is not None and not last.done.is_set():
            return None
        run = self._runs[query.name] = _RunningQuery(query, self._clock(), self._clock)
        Thread(target=run.run, name=f"health-query-{query.name}", daemon=True).start()
        return run

    def _measure_hanging_s(self, name: str) -> float:
        return self._clock() - self._runs[name].started
