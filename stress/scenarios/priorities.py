"""Job priorities."""

import asyncio

from stress.ledger import Sample
from stress.reconcile import reconcile, settled
from stress.stage import Stage
from stress.verdict import percentile

RATE = 4.0  # registrations a second
PEOPLE = 20
RATIO = 2.0
TITLE = "Priorities"
PROMISE = "A flood of low jobs does not delay high ones: their p95 stays within twice what it is without the flood."

# The high jobs of people: from the commit of the row to the moment its worker was done with it.
WAITED = """
SELECT extract(epoch FROM updated_at - created_at)::float8 * 1000 AS ms FROM outbox
WHERE priority = 'high' AND state = 'done' AND subject_id::text = ANY(%(ids)s)
"""
LEFT = "SELECT count(*) AS n FROM outbox WHERE priority = 'low' AND state <> 'done'"
FLOOD = """
INSERT INTO outbox (id, kind, priority, subject_id, payload)
SELECT gen_random_uuid(), 'mail', 'low', %(claim)s::uuid,
       '{"template": "staff-sla-breach", "to": "desk", "facts": {"state": "submitted", "days": "3"}}'
FROM generate_series(1, %(count)s)
"""


async def run(stage: Stage) -> None:
    """The scenario."""
    (member,) = stage.crowd.take(1)
    claim = await stage.generator.send(stage.people.claim(member.token, client=member.address))
    alone: list[float] = []
    flooded: list[float] = []
    for _ in range(stage.profile.priority_rounds):
        await settled(stage)
        alone += await _high(stage, "unloaded")
        await settled(stage)
        await stage.target.rows(FLOOD, {"claim": (claim.record or {})["id"], "count": stage.profile.flood})
        flooded += await _high(stage, f"behind {stage.profile.flood} low ones")
        left = (await stage.target.rows(LEFT))[0]["n"]
        stage.least("Low jobs still waiting when the last high one was measured", 1, left)
    _judge(stage, alone, flooded)
    await reconcile(stage)


def _judge(stage: Stage, alone: list[float], flooded: list[float]) -> None:
    before, after = percentile(alone, 0.95), percentile(flooded, 0.95)
    for name, values in (("unloaded", alone), ("behind the flood", flooded)):
        stage.figure(f"High jobs {name}: p50", percentile(values, 0.5), "ms")
        stage.figure(f"High jobs {name}: p95", percentile(values, 0.95), "ms")
    wanted = stage.profile.priority_rounds * PEOPLE * 2
    stage.equal("High jobs measured, each way", (wanted, wanted), (len(alone), len(flooded)))
    stage.most("p95 of high jobs behind a flood ÷ unloaded", RATIO, after / max(before, 0.001), "×")


async def _high(stage: Stage, name: str) -> list[float]:
    """How long the high jobs of some registrations took, in milliseconds."""
    stage.step(f"{PEOPLE} registrations, their high jobs {name}")
    calls = [stage.people.registration() for _ in range(PEOPLE)]
    stage.wanted += PEOPLE
    samples = await stage.generator.arrivals(calls, RATE, seed=PEOPLE)
    return await _waited(stage, samples)


async def _waited(stage: Stage, samples: list[Sample]) -> list[float]:
    ids, wanted = [str((s.record or {}).get("id")) for s in samples], 2 * len(samples)
    for _ in range(200):
        rows = await stage.target.rows(WAITED, {"ids": ids})
        if len(rows) >= wanted:
            break
        await asyncio.sleep(0.1)
    return [row["ms"] for row in rows]
