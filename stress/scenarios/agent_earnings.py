"""The earnings of agents, decided and paid by several people at once: calls that share rows, in orders that conflict.

A decision about a commission locks its agent and then the commission, a change of an agent's terms the agent, a payout
all agents that are paid and then all of their commissions, which another month's payout takes as well.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from stress import sql
from stress.fixtures import SignedInUser
from stress.ledger import CallSample, PlannedCall
from stress.scenario_context import LocalScenarioContext

AGENTS, CLIENTS = 2, 6  # clients of both together
RATES = ("0.25", "0.30")  # that the two who change an agent's terms want
SQL = sql.load(Path(__file__).with_suffix(".sql"))


async def decide_and_pay(context: LocalScenarioContext) -> None:
    """Have two of the staff decide the same commissions while terms change, and four calls pay two months at once."""
    context.show_progress(f"{AGENTS} agents with {CLIENTS} clients")
    agents = await context.fixtures.make_agents(AGENTS)
    clients = await context.fixtures.register_members(
        [_make_registration(context, agents[number % AGENTS]) for number in range(CLIENTS)]
    )
    await _show_that_clients_exist(context, clients)
    commissions = await _list_commissions(context, agents)
    await _decide_concurrently(context, agents, commissions)
    await _pay_concurrently(context, agents, commissions)


def _make_registration(context: LocalScenarioContext, agent: SignedInUser) -> PlannedCall:
    code = agent.record["referral_code"]
    return context.call_factory.make_registration(referral_code=code, facts={"agent": agent.id})


async def _show_that_clients_exist(context: LocalScenarioContext, clients: Sequence[SignedInUser]) -> None:
    """Have each client call once: a commission by somebody whom nobody has seen can't be approved."""
    make_read = context.call_factory.make_read
    await context.send_burst([make_read("own record", "/members/me", token=each.token) for each in clients])


async def _list_commissions(context: LocalScenarioContext, agents: Sequence[SignedInUser]) -> list[str]:
    """Return the ids of the agents' commissions, as staff see them."""
    calls = [
        context.call_factory.make_read("commissions", f"/commissions?agent={each.id}", token=context.fixtures.staff)
        for each in agents
    ]
    pages = [sample.record or {} for sample in await context.send_burst(calls)]
    return [str(item["id"]) for page in pages for item in page.get("items", [])]


async def _decide_concurrently(
    context: LocalScenarioContext, agents: Sequence[SignedInUser], commissions: Sequence[str]
) -> None:
    context.show_progress("two of the staff approve the same commissions, two admins change the same terms")
    staff = [context.fixtures.staff, await context.fixtures.make_staff_token()]
    admins = [context.fixtures.admin, await context.fixtures.make_staff_token("admin")]
    approvals = [_make_approval(context, commission, token) for commission in commissions for token in staff]
    changes = [
        await _make_change(context, agent, token, rate)
        for agent in agents
        for token, rate in zip(admins, RATES, strict=True)
    ]
    samples = await context.send_burst([*approvals, *changes])
    context.check_statuses(
        f"Two approve each of {CLIENTS} commissions at once: one counts, one is refused",
        {200: CLIENTS, 409: CLIENTS},
        samples[: len(approvals)],
    )
    context.check_statuses(
        f"Two change the terms of each of {AGENTS} agents at once: one counts, one is refused as stale",
        {200: AGENTS, 412: AGENTS},
        samples[len(approvals) :],
    )


def _make_approval(context: LocalScenarioContext, commission: str, token: str) -> PlannedCall:
    body = {"decision": "approve", "reason": "The client is known."}
    path = f"/commissions/{commission}/decision"
    return context.call_factory.make_write("approve commission", path, body, token=token, wanted=(200, 409))


async def _make_change(context: LocalScenarioContext, agent: SignedInUser, token: str, rate: str) -> PlannedCall:
    """Return a call that changes the agent's terms as they are after the approval."""
    path = f"/agents/{agent.id}"
    found = await context.generator.insist(context.call_factory.make_read("agent", path, token=token))
    headers, facts = {"If-Match": f'"{(found.record or {}).get("version")}"'}, {"subject": agent.id}
    call = context.call_factory.make_write(
        "terms", path, {"commission_rate": rate}, token=token, headers=headers, facts=facts, wanted=(200, 412)
    )
    return replace(call, method="PATCH")


async def _pay_concurrently(
    context: LocalScenarioContext, agents: Sequence[SignedInUser], commissions: Sequence[str]
) -> None:
    """Pay two months by two calls each, at once; both months' runs want all of the commissions."""
    context.show_progress("payouts of two months at once")
    months = await asyncio.to_thread(_move_into_the_past, context, [each.id for each in agents])
    admin = context.fixtures.admin
    calls = [
        context.call_factory.make_write("pay out", "/payouts", {"month": month}, token=admin)
        for month in months
        for _ in range(2)
    ]
    made = await context.send_burst(calls)
    context.check_statuses("Payouts of two months by two calls each", {201: len(calls)}, made)
    runs = {str((sample.record or {}).get("id")) for sample in made}
    context.check_equal("Each month has one payout", len(months), len(runs))
    reads = [context.call_factory.make_read("payout", f"/payouts/{run}", token=admin) for run in sorted(runs)]
    lines = _list_lines(await context.send_burst(reads))
    paid = {str(line["commission_id"]) for line in lines}
    found = {"lines": len(lines), "commissions": len(paid & set(commissions))}
    wanted = {"lines": CLIENTS, "commissions": CLIENTS}
    context.check_equal(f"Each of the {CLIENTS} commissions is on one statement, once", wanted, found)


def _list_lines(payouts: Sequence[CallSample]) -> list[dict[str, Any]]:
    statements = [each for sample in payouts for each in (sample.record or {}).get("statements", [])]
    return [line for statement in statements for line in statement["lines"]]


def _move_into_the_past(context: LocalScenarioContext, agents: Sequence[str]) -> list[str]:
    """Date what the agents have earned two months back, past the trigger that forbids it; return the months to pay.

    A month can be paid only when it is over.
    """
    dsn = context.target.build_dsn()
    with psycopg.connect(dsn, autocommit=True, options="-c session_replication_role=replica") as superuser:
        superuser.execute(SQL["date_back"].encode(), {"agents": list(agents)})
        return [str(month) for (month,) in superuser.execute(SQL["months_that_are_over"].encode())]
