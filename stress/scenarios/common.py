"""What several scenarios do."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from stress.ledger import Call, Sample
from stress.limits import Limit, wrongly_accepted, wrongly_refused
from stress.load import LEAD_S, Generator
from stress.reconcile import SQL
from stress.stage import Stage
from stress.target import LocalCloud

BUSY_S = 8.0  # less than the 10 s after which the role's statements give up
SENT_S = LEAD_S + 0.1
LOOK_S = 0.02
WARM_S = 8.0
ENDED_S = 5.0  # until the local cloud has noticed that processes ended; much less as a rule
WARMINGS = 4
SLOW_S = 0.8  # how long the server takes over each write while it is made slow


def slow_writes_sql(seconds: float) -> str:
    """Return the statements that make the server slow where every write passes once.

    So a transaction holds its connection for a known time.
    """
    return f"""
CREATE OR REPLACE FUNCTION stress_slow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER stress_slow BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION stress_slow()
"""


SLOW = slow_writes_sql(SLOW_S)
NORMAL = "DROP TRIGGER IF EXISTS stress_slow ON audit; DROP FUNCTION IF EXISTS stress_slow()"


def statuses(samples: Sequence[Sample]) -> dict[int, int]:
    """Return how many samples had which status."""
    return dict(sorted(Counter(sample.status for sample in samples).items()))


async def deadlocks(stage: Stage) -> int:
    """Return how many deadlocks the server has had to break so far."""
    return int((await stage.target.rows(SQL["deadlocks"]))[0]["deadlocks"])


async def cut_while(stage: Stage, calls: Sequence[Call]) -> tuple[list[Sample], int]:
    """All calls at once, and every line to the server cut while transactions wait on it; how many lines they were on.

    None can end before the cut, so it meets them however slowly the machine brings them there.
    """
    async with stage.target.held():
        under_way = asyncio.create_task(stage.burst(calls))
        busy = await lent(stage, min(len(calls), 10), under_way)
        await stage.target.database("POST", "/cut")
        stage.faults.at_once("every line to the database cut")
    return await under_way, busy


async def lent(stage: Stage, least: int, under_way: "asyncio.Future[Any]") -> int:
    """Wait until so many server connections are borrowed; return how many, also when the wait is over.

    It is over when the calls under way have ended, or before the statements that wait are given up.
    """
    await asyncio.sleep(SENT_S)  # not to be in the way of the very sends that it waits for
    until, busy = stage.generator.clock.now() + BUSY_S, 0
    while busy < least and not under_way.done() and stage.generator.clock.now() < until:
        busy = int((await stage.target.database("GET", "/counts"))["borrowed"])
        await asyncio.sleep(LOOK_S)
    return busy


def judge_limit(stage: Stage, samples: Sequence[Sample], limit: Limit) -> None:
    """Hold what one client was answered against its limit, to the exact call."""
    stage.equal("Accepted beyond what the limit gives, in any stretch of time", 0, wrongly_accepted(samples, limit))
    stage.equal("Refused though the limit was not used up", 0, wrongly_refused(samples, limit))


async def warm(cloud: LocalCloud, generator: Generator, function: str, kind: Callable[[], Call], count: int) -> int:
    """Start environments of a function until it has so many: as many calls that all wait need one each.

    Returns how many there are. A few seconds at a time: the statements that wait give up after the role's 10 s.
    """
    there = 0
    for _ in range(WARMINGS):
        calls = [kind() for _ in range(count)]
        generator.ready(calls)
        async with cloud.held():
            under_way = [asyncio.create_task(generator.insist(call)) for call in calls]
            until = generator.clock.now() + WARM_S
            while (there := await _busy(cloud, function)) < count and generator.clock.now() < until:
                await asyncio.sleep(0.1)
        await asyncio.gather(*under_way)
        if there >= count:
            break
    return there


async def replace_environments(stage: Stage, function: str, kind: Callable[[], Call], count: int) -> int:
    """End a function's environments that have no call, and start as many as are asked for; return how many there are.

    A new environment has whatever Lambda gives a new one: no connection that somebody cut, and a full retry budget.
    """
    ended = {each["pid"] for each in await stage.target.environments(function) if each["state"] == "idle"}
    for pid in ended:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until = stage.generator.clock.now() + ENDED_S
    while stage.generator.clock.now() < until:
        if ended.isdisjoint(each["pid"] for each in await stage.target.environments(function)):
            break
        await asyncio.sleep(LOOK_S)
    return await warm(stage.target, stage.generator, function, kind, count)


async def _busy(cloud: LocalCloud, function: str) -> int:
    return sum(each["state"] == "busy" for each in await cloud.environments(function))
