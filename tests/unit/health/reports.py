"""A deep health check on answers that a test chooses."""

from collections.abc import Callable, Sequence
from typing import Any

from health.deep_check import DATABASE, SERVICES, STATE_STORE, DeepCheck
from health.parallel_queries import HealthQuery, ParallelQueries, QueryOutcome
from health.service import DatabaseAnswer, OutboxCounts
from shared.aws.dynamodb_shared_state import LastWriter, SharedState
from shared.database.schema_version import SchemaVersion
from tests.fakes.clock import ManualClock

JOBS = OutboxCounts(
    pending=2,
    failed=1,
    uncertain=0,
    high_unsolved=0,
    oldest_s={"high": 1.5, "normal": 0.0, "low": 4.0},
    sent={"high": 0, "normal": 0, "low": 0},
    held=1,
    oldest_held_s=3.5,
)
SCHEMA = SchemaVersion("0002_claims", missing=())
WRITER = DatabaseAnswer(writable=True, server="a1", used=7, schema=SCHEMA, jobs=JOBS)
FLEET = SharedState(circuits={}, server=LastWriter("a1", None), retries=3)


class ScriptedQueries(ParallelQueries):
    """A prober whose latencies are the test's: `slow` seconds by name."""

    def __init__(self, slow: dict[str, float]) -> None:
        super().__init__()
        self._slow = slow

    def run(self, probes: Sequence[HealthQuery], *, within_s: float) -> dict[str, QueryOutcome]:
        asked = super().run(probes, within_s=within_s)
        return {n: QueryOutcome(o.failed, self._slow.get(n, 0.01), o.value) for n, o in asked.items()}


class ScriptedDependencies:
    """Scripted results of the health queries; an exception instead of a result is raised."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.found: dict[str, Any] = dict.fromkeys(SERVICES, True) | {DATABASE: WRITER, STATE_STORE: FLEET}
        self.slow: dict[str, float] = {}
        self.asked = 0
        self.noted: list[tuple[LastWriter | None, LastWriter]] = []
        self.first_to_note = True
        self.check = DeepCheck(
            self._make_queries,
            self,
            version="v1",
            max_connections=50,
            mail_rate=1.0,
            clock=self.clock,
            queries=ScriptedQueries(self.slow),
        )

    def _make_queries(self) -> list[HealthQuery]:
        self.asked += 1
        return [HealthQuery(name, self._make_answer(name)) for name in self.found]

    def _make_answer(self, name: str) -> Callable[[], Any]:
        def answer() -> Any:
            if isinstance(self.found[name], Exception):
                raise self.found[name]
            return self.found[name]

        return answer

    def change_server(self, seen: LastWriter | None, now: LastWriter) -> bool:
        self.noted.append((seen, now))
        return self.first_to_note
