"""Job priorities."""

import asyncio
import math

from stress.ledger import Sample
from stress.profiles import Profile
from stress.reconcile import reconcile, settled
from stress.stage import Stage
from stress.verdict import percentile

# Of the rate at which mails may leave: people come at random, so some of their mails meet even without a flood.
LOAD = 0.4
MOST_PEOPLE = 6.0  # a second: beyond, what they wait for is the machine
PEOPLE = 15  # a round: short ones take turns, so that a slow stretch of the machine meets both ways alike
RATIO = 2.0
# The low jobs by which it is measured how fast they are done, and how often those that are done meanwhile a flood has.
TRIAL = 40
TIMES_AS_MANY = 3.0
WARMING = 20  # registrations at one instant: twice the workers that high jobs may have at once
LATEST_S = 20.0  # without any progress
LOOK_S = 0.1
TITLE = "Priorities"
PROMISE = "A flood of low jobs does not delay high ones: their p95 stays within twice what it is without the flood."

# The mails of people: from the commit of the row to the moment its worker was done with it; one that is not done has
# taken so long already.
WAITED = """
SELECT state = 'done' AS done,
       extract(epoch FROM CASE state WHEN 'done' THEN updated_at ELSE clock_timestamp() END - created_at)::float8 * 1000
           AS ms
FROM outbox WHERE priority = 'high' AND kind = 'mail' AND subject_id::text = ANY(%(ids)s)
"""
LEFT = "SELECT count(*) AS n FROM outbox WHERE priority = 'low' AND state <> 'done'"
UNPUBLISHED = "SELECT count(*) AS n FROM outbox WHERE priority = 'low' AND state = 'pending'"
FLOOD = """
INSERT INTO outbox (id, kind, priority, subject_id, payload)
SELECT gen_random_uuid(), 'mail', 'low', %(claim)s::uuid,
       '{"template": "staff-sla-breach", "to": "desk", "facts": {"state": "submitted", "days": "3"}}'
FROM generate_series(1, %(count)s)
"""
# How many a second were done, from the first of the last ones to the last.
DRAIN = """
SELECT ((count(*) - 1) / greatest(extract(epoch FROM max(updated_at) - min(updated_at)), 0.001))::float8 AS rate
FROM (SELECT updated_at FROM outbox WHERE priority = 'low' AND state = 'done'
      ORDER BY updated_at DESC LIMIT %(count)s) d
"""
# What is left of a flood has served its purpose. A message without its job is passed over.
RECEDE = "DELETE FROM outbox WHERE priority = 'low' AND state IN ('pending', 'queued')"


def members_needed(_profile: Profile) -> int:
    """Return how many members the scenario takes: the one whose claim the low jobs are about."""
    return 1


async def run(stage: Stage) -> None:
    """The scenario."""
    (member,) = stage.crowd.take(1)
    filed = await stage.generator.send(stage.people.claim(member.token, client=member.address))
    claim = str((filed.record or {})["id"])
    alone: list[float] = []
    flooded: list[float] = []
    await settled(stage)
    await _start_workers(stage, claim)
    count = flood_size(await _drain_rate(stage, claim), stage.profile.flood, _rate(stage))
    for number in range(stage.profile.priority_rounds):
        await settled(stage)
        alone += await _high(stage, "unloaded", number)
        await settled(stage)
        await _flood(stage, claim, count)
        flooded += await _high(stage, f"behind {count} low ones", number)
        left = (await stage.target.rows(LEFT))[0]["n"]
        stage.least("Low jobs still waiting when the last high one was measured", 1, left)
        await stage.target.rows(RECEDE)
    _judge(stage, alone, flooded)
    await reconcile(stage)


def flood_size(drained_a_second: float, least: int, people_a_second: float) -> int:
    """Return how many low jobs last longer than the registrations take, where so many a second are done."""
    return max(least, math.ceil(TIMES_AS_MANY * drained_a_second * PEOPLE / people_a_second))


def _rate(stage: Stage) -> float:
    return min(LOAD * stage.profile.mail_rate, MOST_PEOPLE)


async def _start_workers(stage: Stage, claim: str) -> None:
    """Have all workers started: behind a flood more of them wait at once, and none may start while it is measured."""
    stage.step(f"{WARMING} registrations at once behind {TRIAL} low jobs, to start the workers")
    await _flood(stage, claim, TRIAL)
    await stage.burst([stage.people.registration() for _ in range(WARMING)])
    await settled(stage)
    started = len(await stage.target.environments("WorkerFunction"))
    stage.figure("Workers started before", started)


async def _drain_rate(stage: Stage, claim: str) -> float:
    """Low jobs that the system does in a second, when there is nothing else to do."""
    stage.step(f"measuring how fast {TRIAL} low jobs are done")
    await _flood(stage, claim, TRIAL)
    await settled(stage)
    rate = float((await stage.target.rows(DRAIN, {"count": TRIAL}))[0]["rate"])
    stage.figure("Low jobs done without high ones", rate, "a second")
    return rate


async def _flood(stage: Stage, claim: str, count: int) -> None:
    """Low jobs, all of them in their queue: how fast the relay hands them over is not what is measured.

    Waits for as long as it hands over any: a flood is sized by the machine, and so is the time that this takes.
    """
    await stage.target.rows(FLOOD, {"claim": claim, "count": count})
    await stage.generator.send(stage.people.registration())  # its commit wakes the relay
    clock, left = stage.generator.clock, count + 1
    until = clock.now() + LATEST_S
    while left and clock.now() < until:
        found = (await stage.target.rows(UNPUBLISHED))[0]["n"]
        if found < left:
            left, until = found, clock.now() + LATEST_S
        await asyncio.sleep(LOOK_S)


def _judge(stage: Stage, alone: list[float], flooded: list[float]) -> None:
    before, after = percentile(alone, 0.95), percentile(flooded, 0.95)
    for name, values in (("unloaded", alone), ("behind the flood", flooded)):
        stage.figure(f"High jobs {name}: p50", percentile(values, 0.5), "ms")
        stage.figure(f"High jobs {name}: p95", percentile(values, 0.95), "ms")
    wanted = stage.profile.priority_rounds * PEOPLE
    stage.equal("High jobs measured, each way", (wanted, wanted), (len(alone), len(flooded)))
    stage.most("p95 of high jobs behind a flood ÷ unloaded", RATIO, after / max(before, 0.001), "×")
    stage.notes.append(
        f"High jobs are the welcome mails of people who register at random, {_rate(stage):.1f} a second; the mail "
        f"service takes {stage.profile.mail_rate} mails a second altogether. A flood has {stage.profile.flood} low "
        "jobs at least, and three times as many as are done meanwhile."
    )


async def _high(stage: Stage, name: str, number: int) -> list[float]:
    """Return how long the welcome mails of some registrations took, in ms; in a round they come alike both ways."""
    stage.step(f"{PEOPLE} registrations, their welcome mails {name}")
    calls = [stage.people.registration() for _ in range(PEOPLE)]
    stage.wanted += PEOPLE
    samples = await stage.generator.arrivals(calls, _rate(stage), seed=number)
    return await _waited(stage, samples)


async def _waited(stage: Stage, samples: list[Sample]) -> list[float]:
    ids = [str((s.record or {}).get("id")) for s in samples]
    rows = await stage.target.rows(WAITED, {"ids": ids})
    for _ in range(int(LATEST_S / LOOK_S)):
        if all(row["done"] for row in rows):
            break
        await asyncio.sleep(LOOK_S)
        rows = await stage.target.rows(WAITED, {"ids": ids})
    return [row["ms"] for row in rows]
