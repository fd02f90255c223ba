"""Concurrent claim submission, with documents."""

from collections.abc import Sequence
from functools import partial

import aiohttp

from stress.crowd import Person
from stress.ledger import Call, Sample
from stress.limits import Limit
from stress.load import gently
from stress.profiles import Profile
from stress.reconcile import reconcile
from stress.scenarios.common import deadlocks, judge_limit, statuses
from stress.stage import Stage

CROWD = 15
MANY = 20
LIMIT = Limit(5, 600)
EVIDENCE = b"Boarding pass: PRN-ZRH, 2 November 2026"
WAY = (("verification", 1), ("evaluation", 2), ("resolved", 3))
TITLE = "Concurrent claim submission"
PROMISE = (
    "15 members file claims with evidence at the same instant while no mail can be sent: every claim, document and "
    "history is whole, and every notice arrives once mail is back. One member gets exactly 5 in 10 minutes."
)


def members_needed(_profile: Profile) -> int:
    """Return how many members the scenario takes: those who file together, and the one who meets the limit."""
    return CROWD + 1


async def run(stage: Stage) -> None:
    """The scenario."""
    before = await deadlocks(stage)
    members = stage.crowd.take(CROWD)
    with stage.faults.during("mail down", "mail"):
        await stage.target.mail(down=True)
        try:
            claims = await _fifteen(stage, members)
            await _documents(stage, claims, members)
            await _moves(stage, claims, members)
            await _staff_reads(stage, claims, members)
        finally:
            await stage.target.mail(down=False)
    await _limit(stage)
    await reconcile(stage)
    stage.equal("Deadlocks in the database", 0, await deadlocks(stage) - before)


def claim_of(stage: Stage, member: Person, **changes: object) -> Call:
    """A claim by a member, from the member's own address."""
    return stage.people.claim(member.token, client=member.address, facts={"member": member.id}, **changes)


async def _fifteen(stage: Stage, members: Sequence[Person]) -> list[Sample]:
    stage.step(f"{CROWD} claims at once, no mail possible")
    samples = await stage.burst([claim_of(stage, member) for member in members])
    stage.equal("15 at once by 15 members, mail down", {201: CROWD}, statuses(samples))
    stage.equal("Claim numbers are all different", CROWD, len({str((s.record or {}).get("number")) for s in samples}))
    return samples


async def _documents(stage: Stage, claims: Sequence[Sample], members: Sequence[Person]) -> None:
    stage.step("evidence for each: announced, uploaded, completed, all at once")
    pairs = [(str((c.record or {})["id"]), m) for c, m in zip(claims, members, strict=True) if c.accepted]
    announced = await stage.burst(
        [
            stage.people.document(
                claim, m.token, len(EVIDENCE), client=m.address, facts={"claim": claim, "member": m.id}
            )
            for claim, m in pairs
        ]
    )
    stage.equal("Evidence announced", {201: len(pairs)}, statuses(announced))
    stored = await gently([partial(_upload, s) for s in announced if s.accepted], CROWD)
    stage.equal("Evidence stored by the form that was given", {True: len(pairs)}, {True: sum(stored)})
    completions = [_completion(stage, sample, m) for sample, (_, m) in zip(announced, pairs, strict=True)]
    completed = await stage.burst(completions)
    states = [str((s.record or {}).get("state")) for s in completed]
    stage.equal("Evidence available", {"available": len(pairs)}, {state: states.count(state) for state in set(states)})


def _completion(stage: Stage, announced: Sample, member: Person) -> Call:
    record = announced.record or {}
    path = f"/claims/{record.get('claim_id')}/documents/{record.get('id')}/completion"
    facts = {"claim": record.get("claim_id"), "member": member.id}
    return stage.people.post("complete", path, token=member.token, client=member.address, facts=facts)


async def _upload(announced: Sample) -> bool:
    """Store the evidence as a browser would; whether the store took it."""
    upload, form = (announced.record or {})["upload"], aiohttp.FormData()
    for name, value in upload["fields"].items():
        form.add_field(name, value)
    form.add_field("file", EVIDENCE, filename="boarding-pass.txt", content_type="text/plain")
    async with aiohttp.ClientSession() as session, session.post(upload["url"], data=form) as reply:
        return reply.status in (200, 201, 204)


async def _moves(stage: Stage, claims: Sequence[Sample], members: Sequence[Person]) -> None:
    """Staff decide on the same claims at the same instant: one of two decisions on a version counts."""
    stage.step("two of the staff move the same claims at once")
    staff = [await stage.crowd.staff_token(), await stage.crowd.staff_token()]
    mine = list(zip([str((c.record or {})["id"]) for c in claims[:5] if c.accepted], members, strict=False))
    for to, version in WAY:
        calls = [_move(stage, claim, member, token, to, version) for claim, member in mine for token in staff]
        samples = await stage.burst(calls)
        name = (
            f"Two decide on version {version} of each of {len(mine)} claims: one counts, one is told that it is stale"
        )
        stage.equal(name, {200: len(mine), 412: len(mine)}, statuses(samples))


def _move(stage: Stage, claim: str, member: Person, token: str, to: str, version: int) -> Call:
    body, headers = {"to": to, "reason": "As agreed."}, {"If-Match": f'"{version}"'}
    facts = {"subject": claim, "member": member.id}
    return stage.people.post(
        "move", f"/claims/{claim}/transitions", body, token=token, headers=headers, facts=facts, wanted=(200, 412)
    )


async def _staff_reads(stage: Stage, claims: Sequence[Sample], members: Sequence[Person]) -> None:
    """Staff look at each claim at the same instant: the audit must hold an entry of each look."""
    stage.step("staff read each claim")
    pairs = [(str((c.record or {})["id"]), m) for c, m in zip(claims, members, strict=True) if c.accepted]
    calls = [
        stage.people.read(
            "staff read", f"/claims/{claim}", token=stage.crowd.staff, facts={"subject": claim, "member": member.id}
        )
        for claim, member in pairs
    ]
    samples = await stage.burst(calls)
    stage.equal("Claims read by staff", {200: len(pairs)}, statuses(samples))


async def _limit(stage: Stage) -> None:
    stage.step(f"{MANY} claims at once by one member")
    (member,) = stage.crowd.take(1)
    made = await stage.burst([claim_of(stage, member, wanted=(201, 429)) for _ in range(MANY)])
    stage.equal("20 at once by one member: exactly 5 accepted", {201: 5, 429: 15}, statuses(made))
    judge_limit(stage, made, LIMIT)
