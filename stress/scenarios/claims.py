"""Scenario: concurrent claim submission, with documents."""

from collections.abc import Sequence

from stress.fixtures import SignedInUser
from stress.ledger import CallSample, PlannedCall
from stress.limits import ObservedLimit
from stress.profiles import Profile
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios.claim_documents import (
    ClaimWithFile,
    add_documents,
    pair_claims,
    read_documents_back,
    remove_while_completing,
)
from stress.scenarios.shared_steps import count_deadlocks, judge_limit

BURST = 15
MANY = 20
LIMIT = ObservedLimit(5, 600)
DECIDED = 5  # claims that staff decide about
TRANSITIONS = (("verification", 1), ("evaluation", 2), ("resolved", 3))
TITLE = "Concurrent claim submission"
PROMISE = (
    "15 members file claims with evidence at the same instant while no mail can be sent: every claim, document and "
    "history is whole, every file is read back as it was uploaded, and every notice arrives once mail is back. A "
    "repeated call gets its first answer, byte for byte. One member gets exactly 5 in 10 minutes."
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
            pairs = pair_claims(claims, members)
            announced = await add_documents(context, pairs, BURST)
            moves = await _transition_concurrently(context, pairs[:DECIDED])
            await _read_as_staff(context, pairs)
        finally:
            await context.target.control_mail(down=False)
    await read_documents_back(context, announced, pairs, BURST)
    await remove_while_completing(context, pairs[-DECIDED:])
    # some of the claims and each of the moves have been overtaken: a repeat is still answered as the first time
    await _check_replays(context, [*claims, *moves], BURST + len(TRANSITIONS) * DECIDED)
    await _check_limit(context)
    await reconcile(context)
    context.check_equal("Deadlocks in the database", 0, await count_deadlocks(context) - before)


def make_claim(context: LocalScenarioContext, member: SignedInUser, **changes: object) -> PlannedCall:
    """Return a claim by a member, from the member's own address."""
    return context.call_factory.make_claim(member.token, client=member.address, facts={"member": member.id}, **changes)


async def _file_fifteen(context: LocalScenarioContext, members: Sequence[SignedInUser]) -> list[CallSample]:
    context.show_progress(f"{BURST} claims at once, no mail possible")
    samples = await context.send_burst([make_claim(context, member) for member in members])
    context.check_statuses("15 at once by 15 members, mail down", {201: BURST}, samples)
    numbers = {str((s.record or {}).get("number")) for s in samples}
    context.check_equal("Claim numbers are all different", BURST, len(numbers))
    return samples


async def _transition_concurrently(context: LocalScenarioContext, pairs: Sequence[ClaimWithFile]) -> list[CallSample]:
    """Have two staff members decide on the same claims at once: one of two decisions on a version counts.

    Return the decisions that counted.
    """
    context.show_progress("two of the staff move the same claims at once")
    staff = [await context.fixtures.make_staff_token(), await context.fixtures.make_staff_token()]
    counted: list[CallSample] = []
    for to, version in TRANSITIONS:
        calls = [_make_transition(context, each, token, to, version) for each in pairs for token in staff]
        samples = await context.send_burst(calls)
        name = f"Two decide on version {version} of each of {DECIDED} claims: one counts, one is refused as stale"
        context.check_statuses(name, {200: DECIDED, 412: DECIDED}, samples)
        counted += [sample for sample in samples if sample.is_accepted]
    return counted


def _make_transition(
    context: LocalScenarioContext, each: ClaimWithFile, token: str, to: str, version: int
) -> PlannedCall:
    path, body = f"/claims/{each.claim}/transitions", {"to": to, "reason": "As agreed."}
    facts = {"subject": each.claim, "member": each.member.id}
    return context.call_factory.make_write(
        "move", path, body, token=token, headers={"If-Match": f'"{version}"'}, facts=facts, wanted=(200, 412)
    )


async def _check_replays(context: LocalScenarioContext, first: Sequence[CallSample], wanted: int) -> None:
    """Repeat calls with their keys, and check that each answer is the first one, byte for byte.

    `wanted` is how many calls there must be: of none, all repeats would be the same.
    """
    context.show_progress(f"{len(first)} calls repeated with their keys")
    done = [sample for sample in first if sample.is_accepted]
    again = await context.send_burst([sample.call for sample in done])
    same = [
        new.replayed and new.fingerprint == old.fingerprint and (new.status, new.record) == (old.status, old.record)
        for old, new in zip(done, again, strict=True)
    ]
    context.check_equal("Repeated with their keys: the first answer again, byte for byte", wanted, same.count(True))


async def _read_as_staff(context: LocalScenarioContext, pairs: Sequence[ClaimWithFile]) -> None:
    """Have staff read each claim at the same instant: the audit must have an entry for each read."""
    context.show_progress("staff read each claim")
    calls = [
        context.call_factory.make_read(
            "staff read",
            f"/claims/{each.claim}",
            token=context.fixtures.staff,
            facts={"subject": each.claim, "member": each.member.id},
        )
        for each in pairs
    ]
    context.check_statuses("Claims read by staff", {200: BURST}, await context.send_burst(calls))


async def _check_limit(context: LocalScenarioContext) -> None:
    context.show_progress(f"{MANY} claims at once by one member")
    (member,) = context.fixtures.take_members(1)
    made = await context.send_burst([make_claim(context, member, wanted=(201, 429)) for _ in range(MANY)])
    context.check_statuses("20 at once by one member: exactly 5 accepted", {201: 5, 429: 15}, made)
    judge_limit(context, made, LIMIT)
