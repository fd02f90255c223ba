"""Scenario: concurrent agent registration."""

import asyncio
from dataclasses import replace

from stress.ledger import CallSample, PlannedCall
from stress.limits import ObservedLimit
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios.agent_earnings import decide_and_pay
from stress.scenarios.shared_steps import (
    count_deadlocks,
    cut_connections_during,
    judge_limit,
    replace_environments,
)

BURST = 20
LIMIT = ObservedLimit(5, 60)  # calls and seconds, for each client address
# API Gateway throttles each method on its own: of all clients together it accepts 50 applications at the same instant,
# and 50 more each second (MethodSettings in template.yaml). During a pause it recovers what one part has used.
GATEWAY_REFILL_S = 1.0
TITLE = "Concurrent agent registration"
PROMISE = (
    "20 people apply at the same instant: 20 agents, each with a code of their own. Each commission is decided once "
    "and paid once, whoever tries at the same time. Conflicts and lost connections are retried, nothing deadlocks, and "
    "one client address gets exactly 5 a minute."
)


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    before = await count_deadlocks(context)
    for part in (_apply_twenty, _apply_with_one_mail_address, decide_and_pay, _cut_connections, _check_limit):
        await part(context)
        await asyncio.sleep(GATEWAY_REFILL_S)
    await reconcile(context)
    context.check_equal("Deadlocks in the database", 0, await count_deadlocks(context) - before)


async def _apply_twenty(context: LocalScenarioContext) -> None:
    context.show_progress(f"{BURST} applications at once, from {BURST} client addresses")
    samples = await context.send_burst([context.call_factory.make_application() for _ in range(BURST)])
    context.check_statuses("20 at once from 20 addresses", {201: BURST}, samples)
    codes = {code for s in samples if (code := (s.record or {}).get("referral_code"))}
    # All applicants have the same first name, from which a referral code is made. An answer without a code has none.
    context.check_equal("Referral codes are all different, though all share their name", BURST, len(codes))


async def _apply_with_one_mail_address(context: LocalScenarioContext) -> None:
    context.show_progress("20 applications with one mail address")
    email = str((context.call_factory.make_application().body or {})["email"])
    calls = [context.call_factory.make_application(wanted=(201, 409)) for _ in range(BURST)]
    samples = await context.send_burst([replace(call, body={**(call.body or {}), "email": email}) for call in calls])
    context.check_statuses("20 at once with one mail address are one agent", {201: 1, 409: BURST - 1}, samples)


async def _cut_connections(context: LocalScenarioContext) -> None:
    """Cut every database connection while applications write: broken transactions must be retried unnoticed.

    Writes are blocked until ten connections are in use, or a time limit is over; then all connections are cut. The
    names of the checks call them lines.

    The retry budget of a Lambda environment (shared.retry.budget) holds one retry. Ten successful calls, or a minute
    without a lost connection, refill it. So the part starts with new environments, whose budgets are full: in one that
    had lost a connection before, a call would fail because of the empty budget.
    """
    context.show_progress(f"starting {BURST} environments, so that all retry budgets are full")
    ready = await replace_environments(context, "AgentsFunction", context.call_factory.make_application, BURST)
    context.record_figure("Environments started for the cut", ready)
    context.show_progress(f"{BURST} applications while every connection to the database is cut")
    calls = [context.call_factory.make_application() for _ in range(BURST)]
    samples, borrowed = await cut_connections_during(context, calls)
    context.check_at_least("Lines with a transaction on them were cut", 5, borrowed)
    context.check_statuses(
        "20 at once while the database's lines are cut: tried again, and nobody notices", {201: BURST}, samples
    )


async def _check_limit(context: LocalScenarioContext) -> None:
    context.show_progress("20 applications from one client address")
    address = context.call_factory.make_client_address()
    made = await context.send_burst([_make_call_from(context, address) for _ in range(BURST)])
    context.check_statuses("20 at once from one address: exactly 5 accepted", {201: 5, 429: 15}, made)
    retry_after = [s.retry_after_s for s in made if s.status == 429]
    context.check(
        "Every refusal says when to come again",
        holds=bool(retry_after) and all(t and 1 <= t <= LIMIT.period_s for t in retry_after),
        wanted="1 to 60 s",
        found=sorted({t or 0 for t in retry_after}),
    )
    if context.profile.runs_long_checks:
        await context.pause(
            max((t or 0 for t in retry_after), default=0), "the longest Retry-After of the refused calls"
        )
        made += await _repeat_applications(context, address, "After that time exactly 1 more", count=3, accepted=1)
    judge_limit(context, made, LIMIT)


async def _repeat_applications(
    context: LocalScenarioContext, address: str, name: str, *, count: int, accepted: int
) -> list[CallSample]:
    samples = await context.send_burst([_make_call_from(context, address) for _ in range(count)])
    context.check_statuses(name, {201: accepted, 429: count - accepted}, samples)
    return samples


def _make_call_from(context: LocalScenarioContext, address: str) -> PlannedCall:
    # `finish` selects these calls by their fact `limit`.
    return context.call_factory.make_application(client=address, wanted=(201, 429), facts={"limit": LIMIT})


async def finish(context: LocalScenarioContext) -> None:
    """Repeat with the same address after at least a whole period of the limit, when all other scenarios have run."""
    if not context.profile.waits_for_refill:
        return
    made = [sample for sample in context.samples if sample.call.facts.get("limit") == LIMIT]
    left = LIMIT.period_s - (context.generator.clock.read_now() - max(sample.done_s for sample in made))
    await context.pause(max(0.0, left), "a whole period of the limit")
    address = made[0].call.client
    made += await _repeat_applications(context, address, "After a minute exactly 5 more", count=7, accepted=5)
    judge_limit(context, made, LIMIT)
    await reconcile(context)
