"""Runs that kill requests at every crash point, send each again, and compare the rows with an unkilled run."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.api.execution import LEASE_MARGIN_S
from shared.deadline import ANSWER_RESERVE_S
from tests.crash_recovery.environment import CrashPoint, CrashTestEnvironment, ProcessRunner
from tests.crash_recovery.requests import (
    PlannedRequest,
    RequestRecords,
    UseCase,
    read_body,
    read_stored_facts,
    render_body,
    strip_own_values,
)

T = TypeVar("T")
U = TypeVar("U")
Target = tuple[UseCase, CrashPoint]

AT_ONCE = 0.5  # of the clients don't wait before they send again

# What Lambda has left for a request that will be killed: S3 alone may take 7 s and is not asked with less, and the key
# is to be free again soon. Its lease is what was left, less the reserve for the answer, and a second more. Who is not
# killed has as long as in Lambda.
SECONDS, FULL_SECONDS = 12.0, 28.0
LEASE_S = SECONDS - ANSWER_RESERVE_S + LEASE_MARGIN_S
GIVE_UP_S = 120.0


@dataclass(frozen=True)
class KillPlan:
    """A request to kill at a crash point, where its repeat may die as well, and whether the repeat is made at once."""

    use_case: UseCase
    asked: PlannedRequest
    crash_point: CrashPoint
    once_more: CrashPoint | None
    at_once: bool


@dataclass
class KilledRequest:
    """A request that was killed at a crash point, and what the database knew of it right after."""

    use_case: UseCase
    asked: PlannedRequest
    crash_point: CrashPoint
    once_more: CrashPoint | None
    committed: Any
    free_at: float  # on the monotonic clock
    deaths: int = 1
    in_progress: int = 0
    answer: Any = None


@dataclass(frozen=True)
class ReferenceRun:
    """An unkilled run of a use case: where it can be killed, what it answered, and the rows it added."""

    points: list[CrashPoint]
    answer: Any
    added: Mapping[str, int]
    trace: list[Any]


def run_reference(environment: CrashTestEnvironment, processes: ProcessRunner, use_case: UseCase) -> ReferenceRun:
    """Run a use case once, watched from beside it."""
    asked = use_case.make_request(RequestRecords.make_in(environment))
    before = environment.count_rows()
    result = processes.run(asked.handler, asked.build_event(), seconds=FULL_SECONDS, traced=True)
    return ReferenceRun(result.points, result.answer, list_added(before, environment.count_rows()), result.trace)


@dataclass(frozen=True)
class KillRunResult:
    """A campaign that is over: what was killed, and the rows by table that came by it."""

    killed: list[KilledRequest]
    added: Mapping[str, int]

    @property
    def wanted(self) -> Mapping[str, int]:
        """The rows by table that as many unkilled requests add."""
        wanted: Counter[str] = Counter()
        for one in self.killed:
            wanted.update(one.use_case.adds)
        return wanted

    def list_killed(self, use_case: UseCase) -> list[KilledRequest]:
        """Return what was killed of a use case."""
        return [one for one in self.killed if one.use_case is use_case]


class KillRun:
    """Kills requests, several processes at a time.

    `seed` decides their order, who sends again at once, and which share of them, `twice`, dies once more on the way.
    """

    def __init__(
        self, environment: CrashTestEnvironment, processes: list[ProcessRunner], *, seed: int = 0, twice: float = 0.0
    ) -> None:
        self._environment = environment
        self._processes = processes
        self._random = random.Random(seed)
        self._twice = twice

    def run(self, targets: list[Target]) -> KillRunResult:
        """Return a request for each target: killed there, then sent again until it is answered."""
        targets = self._random.sample(targets, len(targets))
        records = RequestRecords.make_in(self._environment)
        plans = [self._make_plan(use_case, crash_point, records, targets) for use_case, crash_point in targets]
        before = self._environment.count_rows()
        killed = self._run_each(plans, self._kill)
        give_up = time.monotonic() + GIVE_UP_S
        while waiting := [one for one in killed if one.answer is None]:
            assert time.monotonic() < give_up, [(one.use_case.name, one.crash_point) for one in waiting]
            self._run_each(waiting, self._send_again_when_free)
        return KillRunResult(killed, list_added(before, self._environment.count_rows()))

    def _make_plan(
        self, use_case: UseCase, crash_point: CrashPoint, records: RequestRecords, targets: list[Target]
    ) -> KillPlan:
        once_more = self._random.choice(targets)[1] if self._random.random() < self._twice else None
        return KillPlan(
            use_case, use_case.make_request(records), crash_point, once_more, self._random.random() < AT_ONCE
        )

    def _kill(self, process: ProcessRunner, plan: KillPlan) -> KilledRequest:
        use_case, asked, crash_point = plan.use_case, plan.asked, plan.crash_point
        free_at = time.monotonic() + LEASE_S
        result = process.run(asked.handler, asked.build_event(), seconds=SECONDS, kill=crash_point)
        assert result.killed, (use_case.name, crash_point, result)
        killed = KilledRequest(
            use_case, asked, crash_point, plan.once_more, read_stored_facts(self._environment, asked), free_at
        )
        if plan.at_once:
            self._send_again(process, killed)
        return killed

    def _send_again_when_free(self, process: ProcessRunner, killed: KilledRequest) -> None:
        time.sleep(max(0.0, killed.free_at - time.monotonic()))
        once_more, killed.once_more = killed.once_more, None
        self._send_again(process, killed, once_more)

    def _send_again(self, process: ProcessRunner, killed: KilledRequest, kill: CrashPoint | None = None) -> None:
        free_at = time.monotonic() + LEASE_S
        seconds = SECONDS if kill else FULL_SECONDS
        result = process.run(killed.asked.handler, killed.asked.build_event(), seconds=seconds, kill=kill)
        if result.killed:
            killed.free_at, killed.deaths = free_at, killed.deaths + 1
            return
        answer = result.answer
        if answer["statusCode"] == 409 and "request-in-progress" in answer["body"]:
            killed.in_progress += 1
        else:
            killed.answer = answer

    def _run_each(self, items: Sequence[T], do: Callable[[ProcessRunner, T], U]) -> list[U]:
        shares = [(lane, items[n :: len(self._processes)]) for n, lane in enumerate(self._processes)]
        with ThreadPoolExecutor(len(shares)) as pool:
            done = list(pool.map(lambda share: [do(share[0], item) for item in share[1]], shares))
        return [result for share in done for result in share]


def list_differences(
    environment: CrashTestEnvironment, killed: KilledRequest, reference: ReferenceRun
) -> Iterator[str]:
    """Describe in words each difference from a run that was not killed; empty if all is well."""
    where = f"{killed.use_case.name} at {killed.crash_point.name}#{killed.crash_point.occurrence}"
    facts = read_stored_facts(environment, killed.asked)
    if facts is None:
        yield f"{where}: answered {killed.answer['body']}, and nothing is there"
        return
    if strip_own_values(killed.answer) != strip_own_values(reference.answer):
        yield f"{where}: answered {strip_own_values(killed.answer)}, the twin {strip_own_values(reference.answer)}"
    if read_body(killed.answer) != render_body(killed.use_case, facts):
        yield f"{where}: answered {killed.answer['body']}, the row says {render_body(killed.use_case, facts)}"
    if killed.committed is not None and killed.committed != facts:
        yield f"{where}: the first run kept {killed.committed}, now it is {facts}"
    if (about := count_written(environment, facts["id"])) != (wanted := _list_expected(killed.use_case)):
        yield f"{where}: {about} were written about it instead of {wanted}"


def count_written(environment: CrashTestEnvironment, subject_id: str) -> dict[str, int]:
    """Return how many audit entries and jobs there are about a record."""
    count = "(SELECT count(*) FROM {0} WHERE subject_id = %s) AS {0}"
    return environment.fresh_database.query_rows(
        f"SELECT {count.format('audit')}, {count.format('outbox')}", subject_id, subject_id
    )[0]


def _list_expected(use_case: UseCase) -> dict[str, int]:
    return {"audit": use_case.adds["audit"], "outbox": use_case.adds.get("outbox", 0)}


def list_added(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Rows by table that have come (or gone) in between."""
    return {table: after[table] - before[table] for table in after if after[table] != before[table]}
