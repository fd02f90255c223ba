"""Steps that several scenarios share."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from stress.ledger import CallSample, PlannedCall
from stress.limits import ObservedLimit, count_wrongly_accepted, count_wrongly_refused
from stress.load_generator import LEAD_S, LoadGenerator
from stress.local_target import LocalCloud
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import SQL

BUSY_S = 8.0  # less than the 10 s statement timeout of the role
SENT_S = LEAD_S + 0.1
POLL_S = 0.02
WARM_S = 8.0
ENDED_S = 5.0  # until the local cloud has noticed that processes ended; usually much less
WARM_ATTEMPTS = 4
DEADLOCK = b'"40P01"'  # PostgreSQL's deadlock_detected, as the functions log what they try again or give up
SLOW_S = 0.8  # how long each write takes while writes are slow


def build_slow_writes_sql(seconds: float) -> str:
    """Return statements that make every call's write wait, at a place that each passes once.

    So a transaction holds its connection for a known time. The worker's own entries don't wait: those of the jobs that
    a burst has made would use up the connections that the burst itself is measured by.
    """
    return f"""
CREATE OR REPLACE FUNCTION stress_slow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER stress_slow BEFORE INSERT ON audit FOR EACH ROW
WHEN (NEW.action NOT LIKE 'account.%') EXECUTE FUNCTION stress_slow()
"""


SLOW_WRITES = build_slow_writes_sql(SLOW_S)
NORMAL_WRITES = "DROP TRIGGER IF EXISTS stress_slow ON audit; DROP FUNCTION IF EXISTS stress_slow()"


def count_statuses(samples: Sequence[CallSample]) -> dict[int, int]:
    """Return how many samples had which status."""
    return dict(sorted(Counter(sample.status for sample in samples).items()))


async def count_deadlocks(context: LocalScenarioContext) -> int:
    """Return how many deadlocks there were so far: by the server's count, and again by the functions' logs.

    The server's count may lack those of the last ten seconds: an idle session reports no sooner. Only whether the sum
    has grown means anything.
    """
    logs = (context.target.folder / "logs").glob("*.log")
    logged = await asyncio.to_thread(lambda: sum(log.read_bytes().count(DEADLOCK) for log in logs))
    return int((await context.target.query_rows(SQL["deadlocks"]))[0]["deadlocks"]) + logged


async def cut_connections_during(
    context: LocalScenarioContext, calls: Sequence[PlannedCall]
) -> tuple[list[CallSample], int]:
    """Send all calls at once and cut every server connection while transactions wait; return how many had one.

    Writes are blocked until the cut, so it meets the calls however slow the machine is.
    """
    async with context.target.block_writes():
        under_way = asyncio.create_task(context.send_burst(calls))
        borrowed = await wait_for_borrowed(context, min(len(calls), 10), under_way)
        await context.target.control_database("POST", "/cut")
        context.faults.record_instant("every line to the database cut")
    return await under_way, borrowed


async def wait_for_borrowed(context: LocalScenarioContext, least: int, under_way: "asyncio.Future[Any]") -> int:
    """Wait until at least `least` server connections are borrowed; return how many, also when the wait ends early.

    It ends early when the calls under way have ended, or before the waiting statements reach their timeout.
    """
    await asyncio.sleep(SENT_S)  # so as not to disturb the sends that it waits for
    until, borrowed = context.generator.clock.read_now() + BUSY_S, 0
    while borrowed < least and not under_way.done() and context.generator.clock.read_now() < until:
        borrowed = int((await context.target.control_database("GET", "/counts"))["borrowed"])
        await asyncio.sleep(POLL_S)
    return borrowed


def judge_limit(context: LocalScenarioContext, samples: Sequence[CallSample], limit: ObservedLimit) -> None:
    """Check one client's answers against its limit, to the exact call; of fewer calls than it gives nothing follows."""
    accepted, refused = count_wrongly_accepted(samples, limit), count_wrongly_refused(samples, limit)
    _check_none_wrong(context, "Accepted beyond what the limit gives, in any stretch of time", accepted, samples, limit)
    _check_none_wrong(context, "Refused though the limit was not used up", refused, samples, limit)


def _check_none_wrong(
    context: LocalScenarioContext, name: str, wrong: int, samples: Sequence[CallSample], limit: ObservedLimit
) -> None:
    context.check(
        name,
        holds=wrong == 0 and len(samples) > limit.burst,
        wanted=f"0 of more than {limit.burst} calls",
        found=f"{wrong} of {len(samples)} calls",
    )


async def warm_environments(
    cloud: LocalCloud, generator: LoadGenerator, function: str, make_call: Callable[[], PlannedCall], count: int
) -> int:
    """Start environments of a function until there are `count`: as many calls that all wait need one each.

    Return how many there are. Wait a few seconds at a time: the waiting statements reach their timeout after 10 s.
    """
    ready = 0
    for _ in range(WARM_ATTEMPTS):
        calls = [make_call() for _ in range(count)]
        generator.prepare(calls)
        async with cloud.block_writes():
            under_way = [asyncio.create_task(generator.insist(call)) for call in calls]
            until = generator.clock.read_now() + WARM_S
            while (ready := await _count_busy(cloud, function)) < count and generator.clock.read_now() < until:
                await asyncio.sleep(0.1)
        await asyncio.gather(*under_way)
        if ready >= count:
            break
    return ready


async def replace_environments(
    context: LocalScenarioContext, function: str, make_call: Callable[[], PlannedCall], count: int
) -> int:
    """End a function's idle environments, and start as many as are asked for; return how many there are.

    A new environment has a connection that nobody has cut, and a full retry budget.
    """
    ended = {each["pid"] for each in await context.target.list_environments(function) if each["state"] == "idle"}
    for pid in ended:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until = context.generator.clock.read_now() + ENDED_S
    while context.generator.clock.read_now() < until:
        if ended.isdisjoint(each["pid"] for each in await context.target.list_environments(function)):
            break
        await asyncio.sleep(POLL_S)
    return await warm_environments(context.target, context.generator, function, make_call, count)


async def _count_busy(cloud: LocalCloud, function: str) -> int:
    return sum(each["state"] == "busy" for each in await cloud.list_environments(function))
