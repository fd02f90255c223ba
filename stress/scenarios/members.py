"""Scenario: concurrent member registration."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from stress.fixtures import SignedInUser
from stress.ledger import CallSample, PlannedCall
from stress.limits import ObservedLimit
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios.shared_steps import (
    NORMAL_WRITES,
    SLOW_WRITES,
    count_deadlocks,
    count_statuses,
    judge_limit,
    wait_for_borrowed,
)

BURST = 20
LIMIT = ObservedLimit(5, 60)
AGENT_LIMIT = ObservedLimit(20, 60)
CONCURRENT_CHANGES = 5  # concurrent calls about one member, by the member and by staff in turn
TITLE = "Concurrent member registration"
PROMISE = (
    "20 people register at the same instant with one agent's code: account, membership, agent's client and commission "
    "of each in one transaction. One address of mail is one member, one key is one answer, whoever dies meanwhile."
)


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    before = await count_deadlocks(context)
    context.show_progress("an agent is approved")
    (agent,) = await context.fixtures.make_agents(1)
    await _register_twenty(context, agent)
    await _register_same_mail(context)
    await _register_same_key(context)
    await _change_concurrently(context, agent)
    await _check_limits(context, agent)
    if context.profile.runs_long_checks:
        await _kill_while_registering(context, agent)
    await reconcile(context)
    context.check_equal("Deadlocks in the database", 0, await count_deadlocks(context) - before)


def _make_registration_with_code(context: LocalScenarioContext, agent: SignedInUser, **changes: object) -> PlannedCall:
    code = agent.record["referral_code"]
    return context.call_factory.make_registration(referral_code=code, facts={"agent": agent.id}, **changes)


async def _register_twenty(context: LocalScenarioContext, agent: SignedInUser) -> None:
    context.show_progress(f"{BURST} registrations at once, with one agent's code")
    samples = await context.send_burst([_make_registration_with_code(context, agent) for _ in range(BURST)])
    context.check_statuses("20 at once from 20 addresses", {201: BURST}, samples)
    numbers = {str((s.record or {}).get("number")) for s in samples}
    context.check_equal("Member numbers are all different", BURST, len(numbers))


async def _register_same_mail(context: LocalScenarioContext) -> None:
    context.show_progress("20 registrations with one mail address")
    first = context.call_factory.make_registration(wanted=(201, 409))
    calls = [
        replace(first, client=context.call_factory.make_client_address(), key=context.call_factory.make_key())
        for _ in range(BURST)
    ]
    samples = await context.send_burst(calls)
    context.check_statuses("20 at once with one mail address are one member", {201: 1, 409: BURST - 1}, samples)


async def _register_same_key(context: LocalScenarioContext) -> None:
    context.show_progress("20 calls with one Idempotency-Key")
    call = context.call_factory.make_registration(wanted=(201, 409))
    first = await context.send_burst([call] * BURST)
    later = await context.send_burst([call] * BURST)
    made = [sample for sample in first if sample.is_accepted and not sample.replayed]
    context.check_equal("20 calls with one key at once: one of them registers somebody", 1, len(made))
    answers = {sample.fingerprint for sample in [*first, *later] if sample.is_accepted}
    context.check_equal("20 calls with one key from one address, repeated: one answer, and none is charged",
                        ({201: BURST}, BURST, 1),
                        (count_statuses(later), sum(s.replayed for s in later), len(answers)))  # fmt: skip


async def _kill_while_registering(context: LocalScenarioContext, agent: SignedInUser) -> None:
    """Kill environments while they register members; the clients repeat their calls.

    A key whose first call died is held until that call could not be running any more: up to half a minute.
    """
    context.show_progress("registrations while the processes that do them are killed")
    calls = [_make_registration_with_code(context, agent, wanted=(201, 409, 502, 503)) for _ in range(BURST)]
    context.generator.prepare(calls)
    await context.target.query_rows(SLOW_WRITES)
    try:
        insisting = asyncio.gather(*(context.generator.insist(call) for call in calls))
        context.samples_wanted += BURST
        await wait_for_borrowed(context, BURST // 2, insisting)
        killed = await _kill_busy_environments(context)
    finally:
        await context.target.query_rows(NORMAL_WRITES)
    context.check_at_least("Processes killed while they registered somebody", 5, killed)
    context.show_progress("waiting for those whose call died")
    samples = await insisting
    context.check_statuses("All of them answered in the end, after repeats with their keys", {201: BURST}, samples)


async def _kill_busy_environments(context: LocalScenarioContext) -> int:
    """Kill every busy environment, one after another through the time that a write takes; return how many."""
    killed = 0
    for _ in range(2):
        for environment in await context.target.list_environments("MembersFunction"):
            if environment["state"] == "busy":
                with suppress(ProcessLookupError):
                    os.kill(environment["pid"], signal.SIGKILL)
                    killed += 1
                await asyncio.sleep(0.03)
    context.faults.record_instant(f"{killed} environments killed")
    return killed


async def _change_concurrently(context: LocalScenarioContext, agent: SignedInUser) -> None:
    """Change the same few memberships at once, by members and staff: each call waits for a lock, without deadlocks.

    A second renewal would end more than two years ahead: of those at once one is done, and the others are too early.
    """
    context.show_progress("renewals, cancellations and edits of the same members at once")
    members = await context.fixtures.register_members([_make_registration_with_code(context, agent) for _ in range(3)])
    staff = [await context.fixtures.make_staff_token() for _ in members]
    calls = [
        call for member, token in zip(members, staff, strict=True) for call in _make_changes(context, member, token)
    ]
    samples = await context.send_burst(calls)
    context.check_equal(
        "Renewals and cancellations of the same members at once: one of each done",
        {"renew": len(members), "cancel": len(members)},
        {name: sum(s.is_accepted for s in samples if s.call.operation == name) for name in ("renew", "cancel")},
    )


def _make_changes(context: LocalScenarioContext, member: SignedInUser, staff: str) -> list[PlannedCall]:
    path, facts = f"/members/{member.id}", {"subject": member.id}
    calls: list[PlannedCall] = []
    for n in range(CONCURRENT_CHANGES):
        token = staff if n % 2 else member.token
        renew = context.call_factory.make_write(
            "renew", f"{path}/renewals", token=token, facts=facts, wanted=(201, 409)
        )
        cancel = context.call_factory.make_write("cancel", f"{path}/cancellation", token=token, facts=facts)
        calls.append(cancel if n % 4 == 3 else renew)
    body, headers = {"phone": "+38344000111"}, {"If-Match": f'"{member.record["version"]}"'}
    edit = context.call_factory.make_write(
        "edit", path, body, token=staff, headers=headers, facts=facts, wanted=(200, 412)
    )
    return [*calls, replace(edit, method="PATCH")]


async def _check_limits(context: LocalScenarioContext, agent: SignedInUser) -> None:
    context.show_progress("20 registrations from one address, 24 by one agent")
    address = context.call_factory.make_client_address()
    made = await context.send_burst(
        [context.call_factory.make_registration(client=address, wanted=(201, 429)) for _ in range(BURST)]
    )
    context.check_statuses("20 at once from one address: exactly 5 accepted", {201: 5, 429: 15}, made)
    judge_limit(context, made, LIMIT)
    await _check_agents_limit(context, agent)


async def _check_agents_limit(context: LocalScenarioContext, agent: SignedInUser) -> None:
    """Register members as one agent: 20 a minute are accepted, from any address."""
    asked = AGENT_LIMIT.burst + 4
    calls = [
        context.call_factory.make_registration(token=agent.token, facts={"agent": agent.id}, wanted=(201, 429))
        for _ in range(asked)
    ]
    made = await _send_in_two_bursts(context, calls)
    accepted = sum(sample.is_accepted for sample in made)
    took_s = max(sample.done_s for sample in made) - min(sample.sent_s for sample in made)
    gained = int(took_s / AGENT_LIMIT.interval_s)
    context.check("24 by one agent from 24 addresses: 20 accepted, and what time gave back",
                  holds=AGENT_LIMIT.burst <= accepted <= AGENT_LIMIT.burst + gained,
                  wanted=f"{AGENT_LIMIT.burst} to {AGENT_LIMIT.burst + gained}", found=accepted)  # fmt: skip
    judge_limit(context, made, AGENT_LIMIT)


async def _send_in_two_bursts(context: LocalScenarioContext, calls: Sequence[PlannedCall]) -> list[CallSample]:
    """Send the calls in two bursts: one of all would exceed the function's concurrency."""
    half = len(calls) // 2
    return [*await context.send_burst(calls[:half]), *await context.send_burst(calls[half:])]
