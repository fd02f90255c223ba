"""Kills requests at every step, sends each again, and holds what is left against an unkilled twin."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.api.execution import LEASE_MARGIN_S
from shared.deadline import ANSWER_RESERVE_S
from tests.killing.requests import Asked, Scene, UseCase, body_of, kept_facts, likeness, rendered
from tests.killing.world import Processes, Step, World

T = TypeVar("T")
U = TypeVar("U")
Target = tuple[UseCase, Step]

AT_ONCE = 0.5  # of the clients don't wait before they send again

# What Lambda has left for a request that will be killed: S3 alone may take 7 s and is not asked with less, and the key
# is to be free again soon. Its lease is what was left, less the reserve for the answer, and a second more. Who is not
# killed has as long as in Lambda.
SECONDS, FULL_SECONDS = 12.0, 28.0
LEASE_S = SECONDS - ANSWER_RESERVE_S + LEASE_MARGIN_S
GIVE_UP_S = 120.0


@dataclass(frozen=True)
class Plan:
    """A request to kill at a step, where its second run dies if it comes there, and whether that comes at once."""

    use_case: UseCase
    asked: Asked
    step: Step
    once_more: Step | None
    at_once: bool


@dataclass
class Killed:
    """A request that was killed at a step, and what the database knew of it right after."""

    use_case: UseCase
    asked: Asked
    step: Step
    once_more: Step | None
    committed: Any
    free_at: float  # on the monotonic clock
    deaths: int = 1
    in_progress: int = 0
    answer: Any = None


@dataclass(frozen=True)
class Twin:
    """An unkilled run of a use case: where it can be killed, what it answered, and the rows it added."""

    points: list[Step]
    answer: Any
    added: Mapping[str, int]
    trace: list[Any]


def unkilled(world: World, processes: Processes, use_case: UseCase) -> Twin:
    """Run a use case once, watched from beside it."""
    asked = use_case.ask(Scene.of(world))
    before = world.rows()
    ran = processes.run(asked.handler, asked.event(), seconds=FULL_SECONDS, traced=True)
    return Twin(ran.points, ran.answer, added(before, world.rows()), ran.trace)


@dataclass(frozen=True)
class Fought:
    """A campaign that is over: what was killed, and the rows by table that came by it."""

    killed: list[Killed]
    added: Mapping[str, int]

    @property
    def wanted(self) -> Mapping[str, int]:
        """The rows by table that as many unkilled requests add."""
        wanted: Counter[str] = Counter()
        for one in self.killed:
            wanted.update(one.use_case.adds)
        return wanted

    def of(self, use_case: UseCase) -> list[Killed]:
        """What was killed of a use case."""
        return [one for one in self.killed if one.use_case is use_case]


class Campaign:
    """Kills requests, several processes at a time.

    `seed` decides their order, who sends again at once, and which share of them, `twice`, dies once more on the way.
    """

    def __init__(self, world: World, lanes: list[Processes], *, seed: int = 0, twice: float = 0.0) -> None:
        self._world = world
        self._lanes = lanes
        self._random = random.Random(seed)
        self._twice = twice

    def run(self, targets: list[Target]) -> Fought:
        """A request for each target: killed there, then sent again until it is answered."""
        targets = self._random.sample(targets, len(targets))
        scene = Scene.of(self._world)
        plans = [self._plan(use_case, step, scene, targets) for use_case, step in targets]
        before = self._world.rows()
        killed = self._each(plans, self._kill)
        give_up = time.monotonic() + GIVE_UP_S
        while waiting := [one for one in killed if one.answer is None]:
            assert time.monotonic() < give_up, [(one.use_case.name, one.step) for one in waiting]
            self._each(waiting, self._send_again_when_free)
        return Fought(killed, added(before, self._world.rows()))

    def _plan(self, use_case: UseCase, step: Step, scene: Scene, targets: list[Target]) -> Plan:
        once_more = self._random.choice(targets)[1] if self._random.random() < self._twice else None
        return Plan(use_case, use_case.ask(scene), step, once_more, self._random.random() < AT_ONCE)

    def _kill(self, lane: Processes, plan: Plan) -> Killed:
        use_case, asked, step = plan.use_case, plan.asked, plan.step
        free_at = time.monotonic() + LEASE_S
        ran = lane.run(asked.handler, asked.event(), seconds=SECONDS, kill=step)
        assert ran.killed, (use_case.name, step, ran)
        killed = Killed(use_case, asked, step, plan.once_more, kept_facts(self._world, asked), free_at)
        if plan.at_once:
            self._send_again(lane, killed)
        return killed

    def _send_again_when_free(self, lane: Processes, killed: Killed) -> None:
        time.sleep(max(0.0, killed.free_at - time.monotonic()))
        once_more, killed.once_more = killed.once_more, None
        self._send_again(lane, killed, once_more)

    def _send_again(self, lane: Processes, killed: Killed, kill: Step | None = None) -> None:
        free_at = time.monotonic() + LEASE_S
        seconds = SECONDS if kill else FULL_SECONDS
        ran = lane.run(killed.asked.handler, killed.asked.event(), seconds=seconds, kill=kill)
        if ran.killed:
            killed.free_at, killed.deaths = free_at, killed.deaths + 1
            return
        answer = ran.answer
        if answer["statusCode"] == 409 and "request-in-progress" in answer["body"]:
            killed.in_progress += 1
        else:
            killed.answer = answer

    def _each(self, items: Sequence[T], do: Callable[[Processes, T], U]) -> list[U]:
        shares = [(lane, items[n :: len(self._lanes)]) for n, lane in enumerate(self._lanes)]
        with ThreadPoolExecutor(len(shares)) as pool:
            done = list(pool.map(lambda share: [do(share[0], item) for item in share[1]], shares))
        return [result for share in done for result in share]


def wrong(world: World, killed: Killed, twin: Twin) -> Iterator[str]:
    """What is not as it would have been without the kill, in words; nothing where all is well."""
    where = f"{killed.use_case.name} at {killed.step.name}#{killed.step.occurrence}"
    facts = kept_facts(world, killed.asked)
    if facts is None:
        yield f"{where}: answered {killed.answer['body']}, and nothing is there"
        return
    if likeness(killed.answer) != likeness(twin.answer):
        yield f"{where}: answered {likeness(killed.answer)}, the twin {likeness(twin.answer)}"
    if body_of(killed.answer) != rendered(killed.use_case, facts):
        yield f"{where}: answered {killed.answer['body']}, the row says {rendered(killed.use_case, facts)}"
    if killed.committed is not None and killed.committed != facts:
        yield f"{where}: the first run kept {killed.committed}, now it is {facts}"
    if (about := written_about(world, facts["id"])) != (wanted := _once(killed.use_case)):
        yield f"{where}: {about} were written about it instead of {wanted}"


def written_about(world: World, subject_id: str) -> dict[str, int]:
    """How many audit entries and jobs there are about a record."""
    count = "(SELECT count(*) FROM {0} WHERE subject_id = %s) AS {0}"
    return world.blank.rows(f"SELECT {count.format('audit')}, {count.format('outbox')}", subject_id, subject_id)[0]


def _once(use_case: UseCase) -> dict[str, int]:
    return {"audit": use_case.adds["audit"], "outbox": use_case.adds.get("outbox", 0)}


def added(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Rows by table that have come (or gone) in between."""
    return {table: after[table] - before[table] for table in after if after[table] != before[table]}
