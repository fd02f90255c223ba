"""Concurrent agent registration."""

import asyncio
from dataclasses import replace

from stress.ledger import Call, Sample
from stress.limits import Limit
from stress.reconcile import reconcile
from stress.scenarios.common import cut_while, deadlocks, judge_limit, replace_environments, statuses
from stress.stage import Stage

CROWD = 20
LIMIT = Limit(5, 60)
REFILL_S = 1.0  # API Gateway takes 50 applications at once of all clients together, and 25 more each second
TITLE = "Concurrent agent registration"
PROMISE = (
    "20 people apply at the same instant: 20 agents, each with a code of their own. Conflicts and lost lines are tried "
    "again, nothing deadlocks, and one address gets exactly 5 a minute."
)


async def run(stage: Stage) -> None:
    """The scenario."""
    before = await deadlocks(stage)
    for part in (_twenty, _one_address_of_mail, _lines_cut, _limit):
        await part(stage)
        await asyncio.sleep(REFILL_S)
    await reconcile(stage)
    stage.equal("Deadlocks in the database", 0, await deadlocks(stage) - before)


async def _twenty(stage: Stage) -> None:
    stage.step(f"{CROWD} applications at once, from {CROWD} addresses")
    samples = await stage.burst([stage.people.application() for _ in range(CROWD)])
    stage.equal("20 at once from 20 addresses", {201: CROWD}, statuses(samples))
    codes = {str((s.record or {}).get("referral_code")) for s in samples}
    stage.equal("Referral codes are all different, though all share their name", CROWD, len(codes))


async def _one_address_of_mail(stage: Stage) -> None:
    stage.step("20 applications with one mail address")
    email = str((stage.people.application().body or {})["email"])
    calls = [replace(call, wanted=(201, 409)) for call in (stage.people.application() for _ in range(CROWD))]
    samples = await stage.burst([replace(call, body={**(call.body or {}), "email": email}) for call in calls])
    stage.equal("20 at once with one mail address are one agent", {201: 1, 409: CROWD - 1}, statuses(samples))


async def _lines_cut(stage: Stage) -> None:
    """Every line to the database ends while all of them write: what that broke must be tried again, unnoticed.

    An environment tries again what one lost connection broke, and the next a minute later: one that lost its connection
    a moment ago, for whatever reason, would show that budget and not what this part is about.
    """
    stage.step(f"starting {CROWD} environments, whose retry budgets are full")
    started = await replace_environments(stage, "AgentsFunction", stage.people.application, CROWD)
    stage.figure("Environments started for the cut", started)
    stage.step(f"{CROWD} applications while every line to the database is cut")
    calls = [stage.people.application() for _ in range(CROWD)]
    samples, cut = await cut_while(stage, calls)
    stage.least("Lines with a transaction on them were cut", 5, cut)
    stage.equal(
        "20 at once while the database's lines are cut: tried again, and nobody notices",
        {201: CROWD},
        statuses(samples),
    )


async def _limit(stage: Stage) -> None:
    stage.step("20 applications from one address")
    address = stage.people.address()
    made = await stage.burst([_from(stage, address) for _ in range(CROWD)])
    stage.equal("20 at once from one address: exactly 5 accepted", {201: 5, 429: 15}, statuses(made))
    told = [s.retry_after_s for s in made if s.status == 429]
    stage.check("Every refusal says when to come again", holds=all(t and 1 <= t <= LIMIT.period_s for t in told),
                wanted="1 to 60 s", found=sorted({t or 0 for t in told}))  # fmt: skip
    if stage.profile.thorough:
        await stage.pause(max(t or 0 for t in told), "the time that refused clients were told")
        made += await _again(stage, address, "After that time exactly 1 more", 3, 1)
    judge_limit(stage, made, LIMIT)


async def _again(stage: Stage, address: str, name: str, count: int, passing: int) -> list[Sample]:
    samples = await stage.burst([_from(stage, address) for _ in range(count)])
    stage.equal(name, {201: passing, 429: count - passing}, statuses(samples))
    return samples


def _from(stage: Stage, address: str) -> Call:
    return stage.people.application(client=address, wanted=(201, 429), facts={"limit": LIMIT})


async def finish(stage: Stage) -> None:
    """The same address again, after at least a whole period of the limit: time enough for all else in between."""
    if not stage.profile.waits_for_refill:
        return
    made = [sample for sample in stage.samples if sample.call.facts.get("limit") == LIMIT]
    left = LIMIT.period_s - (stage.generator.clock.now() - max(sample.done_s for sample in made))
    await stage.pause(max(0.0, left), "a whole period of the limit")
    made += await _again(stage, made[0].call.client, "After a minute exactly 5 more", 7, 5)
    judge_limit(stage, made, LIMIT)
    await reconcile(stage)
