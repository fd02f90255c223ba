"""Concurrent member registration."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from stress.crowd import Person
from stress.ledger import Call, Sample
from stress.limits import Limit
from stress.reconcile import reconcile
from stress.scenarios.common import NORMAL, SLOW, deadlocks, judge_limit, lent, statuses
from stress.stage import Stage

CROWD = 20
LIMIT = Limit(5, 60)
AGENT_LIMIT = Limit(20, 60)
QUARREL = 5  # calls at once about one member, by the member and by staff in turn
TITLE = "Concurrent member registration"
PROMISE = (
    "20 people register at the same instant with one agent's code: account, membership, agent's client and commission "
    "of each in one transaction. One address of mail is one member, one key is one answer, whoever dies meanwhile."
)


async def run(stage: Stage) -> None:
    """The scenario."""
    before = await deadlocks(stage)
    stage.step("an agent is approved")
    (agent,) = await stage.crowd.agents(1)
    await _twenty(stage, agent)
    await _one_mail(stage)
    await _one_key(stage)
    await _quarrels(stage, agent)
    await _limits(stage, agent)
    if stage.profile.thorough:
        await _killed(stage, agent)
    await reconcile(stage)
    stage.equal("Deadlocks in the database", 0, await deadlocks(stage) - before)


def _with_code(stage: Stage, agent: Person, **changes: object) -> Call:
    code = agent.record["referral_code"]
    return stage.people.registration(referral_code=code, facts={"agent": agent.id}, **changes)


async def _twenty(stage: Stage, agent: Person) -> None:
    stage.step(f"{CROWD} registrations at once, with one agent's code")
    samples = await stage.burst([_with_code(stage, agent) for _ in range(CROWD)])
    stage.equal("20 at once from 20 addresses", {201: CROWD}, statuses(samples))
    numbers = {str((s.record or {}).get("number")) for s in samples}
    stage.equal("Member numbers are all different", CROWD, len(numbers))


async def _one_mail(stage: Stage) -> None:
    stage.step("20 registrations with one mail address")
    first = stage.people.registration(wanted=(201, 409))
    calls = [replace(first, client=stage.people.address(), key=stage.people.key()) for _ in range(CROWD)]
    samples = await stage.burst(calls)
    stage.equal("20 at once with one mail address are one member", {201: 1, 409: CROWD - 1}, statuses(samples))


async def _one_key(stage: Stage) -> None:
    stage.step("20 calls with one Idempotency-Key")
    call = stage.people.registration(wanted=(201, 409))
    await stage.burst([call] * CROWD)
    later = await stage.burst([call] * CROWD)
    records = {str(s.record) for s in later}
    stage.equal("20 calls with one key from one address, repeated: one answer, and none is charged",
                ({201: CROWD}, 1), (statuses(later), len(records)))  # fmt: skip


async def _killed(stage: Stage, agent: Person) -> None:
    """Environments die while they register; the clients repeat their calls.

    A key whose first call died is held until that call could not be running any more: up to half a minute.
    """
    stage.step("registrations while the processes that do them are killed")
    calls = [_with_code(stage, agent, wanted=(201, 409, 502, 503)) for _ in range(CROWD)]
    stage.generator.ready(calls)
    await stage.target.rows(SLOW)
    try:
        insisting = asyncio.gather(*(stage.generator.insist(call) for call in calls))
        stage.wanted += CROWD
        await lent(stage, CROWD // 2, insisting)
        killed = await _kill_busy(stage)
    finally:
        await stage.target.rows(NORMAL)
    stage.least("Processes killed while they registered somebody", 5, killed)
    stage.step("waiting for those whose call died")
    samples = await insisting
    stage.equal("All of them answered in the end, after repeats with their keys", {201: CROWD}, statuses(samples))


async def _kill_busy(stage: Stage) -> int:
    """SIGKILL for every environment that is at work, one after another through the time that a write takes."""
    killed = 0
    for _ in range(2):
        for environment in await stage.target.environments("MembersFunction"):
            if environment["state"] == "busy":
                with suppress(ProcessLookupError):
                    os.kill(environment["pid"], signal.SIGKILL)
                    killed += 1
                await asyncio.sleep(0.03)
    stage.faults.at_once(f"{killed} environments killed")
    return killed


async def _quarrels(stage: Stage, agent: Person) -> None:
    """Members and staff change the same few memberships at once: each call waits its turn, none in a circle.

    A second renewal would end more than two years ahead: of those at once one is done, and the others are too early.
    """
    stage.step("renewals, cancellations and edits of the same members at once")
    members = await stage.crowd.registered([_with_code(stage, agent) for _ in range(3)])
    staff = [await stage.crowd.staff_token() for _ in members]
    calls = [call for member, token in zip(members, staff, strict=True) for call in _quarrel(stage, member, token)]
    samples = await stage.burst(calls)
    stage.equal(
        "Renewals and cancellations of the same members at once: one of each done",
        {"renew": len(members), "cancel": len(members)},
        {name: sum(s.accepted for s in samples if s.call.operation == name) for name in ("renew", "cancel")},
    )


def _quarrel(stage: Stage, member: Person, staff: str) -> list[Call]:
    path, facts = f"/members/{member.id}", {"subject": member.id}
    calls: list[Call] = []
    for n in range(QUARREL):
        token = staff if n % 2 else member.token
        renew = stage.people.post("renew", f"{path}/renewals", token=token, facts=facts, wanted=(201, 409))
        cancel = stage.people.post("cancel", f"{path}/cancellation", token=token, facts=facts)
        calls.append(cancel if n % 4 == 3 else renew)
    body, headers = {"phone": "+38344000111"}, {"If-Match": f'"{member.record["version"]}"'}
    edit = stage.people.post("edit", path, body, token=staff, headers=headers, facts=facts, wanted=(200, 412))
    return [*calls, replace(edit, method="PATCH")]


async def _limits(stage: Stage, agent: Person) -> None:
    stage.step("20 registrations from one address, 24 by one agent")
    address = stage.people.address()
    made = await stage.burst([stage.people.registration(client=address, wanted=(201, 429)) for _ in range(CROWD)])
    stage.equal("20 at once from one address: exactly 5 accepted", {201: 5, 429: 15}, statuses(made))
    judge_limit(stage, made, LIMIT)
    await _agents_own(stage, agent)


async def _agents_own(stage: Stage, agent: Person) -> None:
    """An agent signs people up: 20 a minute, whatever address they come from."""
    asked = AGENT_LIMIT.burst + 4
    calls = [
        stage.people.registration(token=agent.token, facts={"agent": agent.id}, wanted=(201, 429)) for _ in range(asked)
    ]
    made = await _in_two(stage, calls)
    accepted = sum(sample.accepted for sample in made)
    gained = int((made[-1].done_s - made[0].sent_s) / AGENT_LIMIT.interval_s)
    stage.check("24 by one agent from 24 addresses: 20 accepted, and what time gave back",
                holds=AGENT_LIMIT.burst <= accepted <= AGENT_LIMIT.burst + gained,
                wanted=f"{AGENT_LIMIT.burst} to {AGENT_LIMIT.burst + gained}", found=accepted)  # fmt: skip
    judge_limit(stage, made, AGENT_LIMIT)


async def _in_two(stage: Stage, calls: Sequence[Call]) -> list[Sample]:
    """Two bursts: one of all would be more than the function may run at once."""
    half = len(calls) // 2
    return [*await stage.burst(calls[:half]), *await stage.burst(calls[half:])]
