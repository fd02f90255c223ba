"""Scenario: job priorities."""

import asyncio
import math
import time
from bisect import bisect_right
from collections.abc import Sequence

from stress.estimates import estimate_percentile
from stress.ledger import CallSample
from stress.profiles import Profile
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile, wait_until_idle

# Registrations as a share of the mail rate. They arrive at random, so some mails wait for each other without a flood.
LOAD = 0.4
MOST_PEOPLE = 6.0  # a second; above it they would wait for the machine
PEOPLE = 20  # a round: short rounds alternate, so that a slow period of the machine affects both alike
RATIO = 2.0  # decided by its interval, for which a 95th percentile needs 72 samples on each side: four rounds
DEPLOYED_BURST = 4  # MailBurst of template.yaml: high mails that may leave at once after a pause
WINDOW_S = 10.0
# A mail whose moment has come still has to reach the service: on a busy machine this much later than another.
LATE_S = 0.5
# The low jobs with which the drain rate is measured, and the size of a flood, as a multiple of what drains meanwhile.
TRIAL = 40
TIMES_AS_MANY = 3.0
WARM_BURST = 20  # registrations at one instant: twice the workers that high jobs may use
STALL_TIMEOUT_S = 20.0  # without any progress
POLL_S = 0.1
TITLE = "Priorities"
PROMISE = "A flood of low jobs does not delay high ones: their p95 stays within twice what it is without the flood."

# How long welcome mails took, from the commit of the row until its worker finished it; an unfinished one until now.
READ_WAITS = """
SELECT state = 'done' AS done,
       extract(epoch FROM CASE state WHEN 'done' THEN updated_at ELSE clock_timestamp() END - created_at)::float8 * 1000
           AS ms
FROM outbox WHERE priority = 'high' AND kind = 'mail' AND subject_id::text = ANY(%(ids)s)
"""
COUNT_LEFT = "SELECT count(*) AS n FROM outbox WHERE priority = 'low' AND state <> 'done'"
COUNT_UNPUBLISHED = "SELECT count(*) AS n FROM outbox WHERE priority = 'low' AND state = 'pending'"
ENQUEUE_FLOOD = """
INSERT INTO outbox (id, kind, priority, subject_id, payload)
SELECT gen_random_uuid(), 'mail', 'low', %(claim)s::uuid,
       '{"template": "staff-sla-breach", "to": "desk", "facts": {"state": "submitted", "days": "3"}}'
FROM generate_series(1, %(count)s)
"""
# Jobs finished in a second, measured from the first to the last of the latest ones.
MEASURE_DRAIN_RATE = """
SELECT ((count(*) - 1) / greatest(extract(epoch FROM max(updated_at) - min(updated_at)), 0.001))::float8 AS rate
FROM (SELECT updated_at FROM outbox WHERE priority = 'low' AND state = 'done'
      ORDER BY updated_at DESC LIMIT %(count)s) d
"""
# Removes the rest of a flood. The worker skips a message without its job.
DELETE_FLOOD = "DELETE FROM outbox WHERE priority = 'low' AND state IN ('pending', 'queued')"


def count_members_needed(_profile: Profile) -> int:
    """Return how many members the scenario takes: the one whose claim the low jobs are about."""
    return 1


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    began = time.time()
    (member,) = context.fixtures.take_members(1)
    filed = await context.generator.send(context.call_factory.make_claim(member.token, client=member.address))
    claim = str((filed.record or {})["id"])
    alone: list[float] = []
    flooded: list[float] = []
    await wait_until_idle(context)
    await _start_workers(context, claim)
    count = compute_flood_size(
        await _measure_drain_rate(context, claim), context.profile.flood, _compute_mail_rate(context)
    )
    for number in range(context.profile.priority_rounds):
        await wait_until_idle(context)
        alone += await _measure_high_mails(context, "unloaded", number)
        await wait_until_idle(context)
        await _enqueue_flood(context, claim, count)
        flooded += await _measure_high_mails(context, f"behind {count} low ones", number)
        left = (await context.target.query_rows(COUNT_LEFT))[0]["n"]
        context.check_at_least("Low jobs still waiting when the last high one was measured", 1, left)
        await context.target.query_rows(DELETE_FLOOD)
    _judge(context, alone, flooded)
    await _judge_pace(context, began)
    await reconcile(context)


def compute_flood_size(drained_a_second: float, least: int, people_a_second: float) -> int:
    """Return how many low jobs outlast the registrations, at the measured drain rate."""
    return max(least, math.ceil(TIMES_AS_MANY * drained_a_second * PEOPLE / people_a_second))


def _compute_mail_rate(context: LocalScenarioContext) -> float:
    return min(LOAD * context.profile.mail_rate, MOST_PEOPLE)


async def _start_workers(context: LocalScenarioContext, claim: str) -> None:
    """Start all workers before the measurement: behind a flood more of them are needed."""
    context.show_progress(f"{WARM_BURST} registrations at once behind {TRIAL} low jobs, to start the workers")
    await _enqueue_flood(context, claim, TRIAL)
    await context.send_burst([context.call_factory.make_registration() for _ in range(WARM_BURST)])
    await wait_until_idle(context)
    started = len(await context.target.list_environments("WorkerFunction"))
    context.record_figure("Workers started before", started)


async def _measure_drain_rate(context: LocalScenarioContext, claim: str) -> float:
    """Return how many low jobs the system finishes a second without other work."""
    context.show_progress(f"measuring how fast {TRIAL} low jobs are done")
    await _enqueue_flood(context, claim, TRIAL)
    await wait_until_idle(context)
    rate = float((await context.target.query_rows(MEASURE_DRAIN_RATE, {"count": TRIAL}))[0]["rate"])
    context.record_figure("Low jobs done without high ones", rate, "a second")
    return rate


async def _enqueue_flood(context: LocalScenarioContext, claim: str, count: int) -> None:
    """Write low jobs and wait until all are in their queue: the relay's speed is not what is measured.

    Wait as long as the relay makes progress, as the flood's size, and so the time, depends on the machine.
    """
    await context.target.query_rows(ENQUEUE_FLOOD, {"claim": claim, "count": count})
    await context.generator.send(context.call_factory.make_registration())  # the commit wakes the relay
    clock, left = context.generator.clock, count + 1
    until = clock.read_now() + STALL_TIMEOUT_S
    while left and clock.read_now() < until:
        found = (await context.target.query_rows(COUNT_UNPUBLISHED))[0]["n"]
        if found < left:
            left, until = found, clock.read_now() + STALL_TIMEOUT_S
        await asyncio.sleep(POLL_S)


def _judge(context: LocalScenarioContext, alone: list[float], flooded: list[float]) -> None:
    for name, values in (("unloaded", alone), ("behind the flood", flooded)):
        context.record_estimate(f"High jobs {name}: p50", estimate_percentile(values, 0.5), "ms")
        context.record_estimate(f"High jobs {name}: p95", estimate_percentile(values, 0.95), "ms")
    wanted = context.profile.priority_rounds * PEOPLE
    context.check_equal("High jobs measured, each way", (wanted, wanted), (len(alone), len(flooded)))
    context.check_ratio_at_most("p95 of high jobs behind a flood ÷ unloaded", RATIO, flooded, alone, 0.95)
    context.notes.append(
        "High jobs are the welcome mails of people who register at random, "
        f"{_compute_mail_rate(context):.1f} a second; the mail service takes {context.profile.mail_rate} mails a "
        f"second altogether. A flood has {context.profile.flood} low jobs at least, and three times as many as are "
        "done meanwhile."
    )


async def _judge_pace(context: LocalScenarioContext, since: float) -> None:
    """Check that mails left at the deployed pace: without one, priorities would show nothing of how they share it."""
    rate, variables = context.profile.mail_rate, context.target.read_environment("WorkerFunction")
    found = (float(variables["MAIL_RATE"]), int(variables["MAIL_BURST"]))
    context.check_equal("Mails a second, and at once after a pause, as deployed", (float(rate), DEPLOYED_BURST), found)
    calls = (await context.target.control_mail(since=since))["calls"]
    most = count_most_within([call["began"] for call in calls], WINDOW_S)
    context.check_at_most(
        f"Mails that reached the service in any {WINDOW_S:.0f} s: the deployed pace",
        rate * (WINDOW_S + LATE_S) + DEPLOYED_BURST,
        most,
        "mails",
    )


def count_most_within(times: Sequence[float], window_s: float) -> int:
    """Return the highest number of these times in any window of `window_s`."""
    ranked = sorted(times)
    return max((bisect_right(ranked, first + window_s) - n for n, first in enumerate(ranked)), default=0)


async def _measure_high_mails(context: LocalScenarioContext, name: str, number: int) -> list[float]:
    """Return how long some registrations' welcome mails took, in ms; a round's arrivals are alike both ways."""
    context.show_progress(f"{PEOPLE} registrations, their welcome mails {name}")
    calls = [context.call_factory.make_registration() for _ in range(PEOPLE)]
    context.samples_wanted += PEOPLE
    samples = await context.generator.send_at_random(calls, _compute_mail_rate(context), seed=number)
    return await _measure_waits(context, samples)


async def _measure_waits(context: LocalScenarioContext, samples: list[CallSample]) -> list[float]:
    ids = [str((s.record or {}).get("id")) for s in samples]
    rows = await context.target.query_rows(READ_WAITS, {"ids": ids})
    for _ in range(int(STALL_TIMEOUT_S / POLL_S)):
        if all(row["done"] for row in rows):
            break
        await asyncio.sleep(POLL_S)
        rows = await context.target.query_rows(READ_WAITS, {"ids": ids})
    return [row["ms"] for row in rows]
