"""Scenario: concurrent claim submission, with documents."""

from collections.abc import Sequence
from functools import partial

import aiohttp

from stress.fixtures import SignedInUser
from stress.ledger import CallSample, PlannedCall
from stress.limits import ObservedLimit
from stress.load_generator import run_limited
from stress.profiles import Profile
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios.shared_steps import count_deadlocks, count_statuses, judge_limit

BURST = 15
MANY = 20
LIMIT = ObservedLimit(5, 600)
EVIDENCE = b"Boarding pass: PRN-ZRH, 2 November 2026"
TRANSITIONS = (("verification", 1), ("evaluation", 2), ("resolved", 3))
TITLE = "Concurrent claim submission"
PROMISE = (
    "15 members file claims with evidence at the same instant while no mail can be sent: every claim, document and "
    "history is whole, and every notice arrives once mail is back. One member gets exactly 5 in 10 minutes."
)


def count_members_needed(_profile: Profile) -> int:
    """Return how many members the scenario takes: those who file together, and the one who reaches the limit."""
    return BURST + 1


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    before = await count_deadlocks(context)
    members = context.fixtures.take_members(BURST)
    with context.faults.record_during("mail down", "mail"):
        await context.target.control_mail(down=True)
        try:
            claims = await _file_fifteen(context, members)
            await _add_documents(context, claims, members)
            await _transition_concurrently(context, claims, members)
            await _read_as_staff(context, claims, members)
        finally:
            await context.target.control_mail(down=False)
    await _check_limit(context)
    await reconcile(context)
    context.check_equal("Deadlocks in the database", 0, await count_deadlocks(context) - before)


def make_claim(context: LocalScenarioContext, member: SignedInUser, **changes: object) -> PlannedCall:
    """Return a claim by a member, from the member's own address."""
    return context.call_factory.make_claim(member.token, client=member.address, facts={"member": member.id}, **changes)


async def _file_fifteen(context: LocalScenarioContext, members: Sequence[SignedInUser]) -> list[CallSample]:
    context.show_progress(f"{BURST} claims at once, no mail possible")
    samples = await context.send_burst([make_claim(context, member) for member in members])
    context.check_equal("15 at once by 15 members, mail down", {201: BURST}, count_statuses(samples))
    context.check_equal(
        "Claim numbers are all different", BURST, len({str((s.record or {}).get("number")) for s in samples})
    )
    return samples


async def _add_documents(
    context: LocalScenarioContext, claims: Sequence[CallSample], members: Sequence[SignedInUser]
) -> None:
    context.show_progress("evidence for each: announced, uploaded, completed, all at once")
    pairs = [(str((c.record or {})["id"]), m) for c, m in zip(claims, members, strict=True) if c.is_accepted]
    announced = await context.send_burst(
        [
            context.call_factory.make_document_announcement(
                claim, m.token, len(EVIDENCE), client=m.address, facts={"claim": claim, "member": m.id}
            )
            for claim, m in pairs
        ]
    )
    context.check_equal("Evidence announced", {201: len(pairs)}, count_statuses(announced))
    stored = await run_limited([partial(_upload_file, s) for s in announced if s.is_accepted], BURST)
    context.check_equal("Evidence stored by the form that was given", {True: len(pairs)}, {True: sum(stored)})
    completions = [_make_completion(context, sample, m) for sample, (_, m) in zip(announced, pairs, strict=True)]
    completed = await context.send_burst(completions)
    states = [str((s.record or {}).get("state")) for s in completed]
    context.check_equal(
        "Evidence available", {"available": len(pairs)}, {state: states.count(state) for state in set(states)}
    )


def _make_completion(context: LocalScenarioContext, announced: CallSample, member: SignedInUser) -> PlannedCall:
    record = announced.record or {}
    path = f"/claims/{record.get('claim_id')}/documents/{record.get('id')}/completion"
    facts = {"claim": record.get("claim_id"), "member": member.id}
    return context.call_factory.make_write("complete", path, token=member.token, client=member.address, facts=facts)


async def _upload_file(announced: CallSample) -> bool:
    """Upload the document with the form of its announcement, as a browser would; return whether it was stored."""
    upload, form = (announced.record or {})["upload"], aiohttp.FormData()
    for name, value in upload["fields"].items():
        form.add_field(name, value)
    form.add_field("file", EVIDENCE, filename="boarding-pass.txt", content_type="text/plain")
    async with aiohttp.ClientSession() as session, session.post(upload["url"], data=form) as reply:
        return reply.status in (200, 201, 204)


async def _transition_concurrently(
    context: LocalScenarioContext, claims: Sequence[CallSample], members: Sequence[SignedInUser]
) -> None:
    """Have two staff members decide on the same claims at once: one of two decisions on a version counts."""
    context.show_progress("two of the staff move the same claims at once")
    staff = [await context.fixtures.make_staff_token(), await context.fixtures.make_staff_token()]
    mine = list(zip([str((c.record or {})["id"]) for c in claims[:5] if c.is_accepted], members, strict=False))
    for to, version in TRANSITIONS:
        calls = [
            _make_transition(context, claim, member, token, to, version) for claim, member in mine for token in staff
        ]
        samples = await context.send_burst(calls)
        name = f"Two decide on version {version} of each of {len(mine)} claims: one counts, one is refused as stale"
        context.check_equal(name, {200: len(mine), 412: len(mine)}, count_statuses(samples))


def _make_transition(
    context: LocalScenarioContext, claim: str, member: SignedInUser, token: str, to: str, version: int
) -> PlannedCall:
    body, headers = {"to": to, "reason": "As agreed."}, {"If-Match": f'"{version}"'}
    facts = {"subject": claim, "member": member.id}
    return context.call_factory.make_write(
        "move", f"/claims/{claim}/transitions", body, token=token, headers=headers, facts=facts, wanted=(200, 412)
    )


async def _read_as_staff(
    context: LocalScenarioContext, claims: Sequence[CallSample], members: Sequence[SignedInUser]
) -> None:
    """Have staff read each claim at the same instant: the audit must have an entry for each read."""
    context.show_progress("staff read each claim")
    pairs = [(str((c.record or {})["id"]), m) for c, m in zip(claims, members, strict=True) if c.is_accepted]
    calls = [
        context.call_factory.make_read(
            "staff read",
            f"/claims/{claim}",
            token=context.fixtures.staff,
            facts={"subject": claim, "member": member.id},
        )
        for claim, member in pairs
    ]
    samples = await context.send_burst(calls)
    context.check_equal("Claims read by staff", {200: len(pairs)}, count_statuses(samples))


async def _check_limit(context: LocalScenarioContext) -> None:
    context.show_progress(f"{MANY} claims at once by one member")
    (member,) = context.fixtures.take_members(1)
    made = await context.send_burst([make_claim(context, member, wanted=(201, 429)) for _ in range(MANY)])
    context.check_equal("20 at once by one member: exactly 5 accepted", {201: 5, 429: 15}, count_statuses(made))
    judge_limit(context, made, LIMIT)
