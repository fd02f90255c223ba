"""The handler of the agents API: applications, decisions, clients, commissions and payouts."""

from typing import Any

from agents import commissions, payouts, service
from agents.model import (
    AgentApplication,
    AgentChange,
    AgentDecision,
    AgentDetails,
    AgentQuery,
    AgentView,
    ClientView,
    CommissionDecision,
    CommissionDetails,
    CommissionQuery,
    CommissionView,
    PayoutRequest,
    PayoutSummary,
    PayoutView,
    StatementView,
)
from agents.referral_codes import make_referral_code
from shared.api.auth.caller import ADMIN, AGENT, STAFF
from shared.api.call import Call, list_page
from shared.api.operation import NoInput
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.container import get_container, import_ahead
from shared.database.transaction import Row
from shared.errors import Refusal, Unavailable
from shared.fields.pagination import Page, PageQuery
from shared.ids import make_uuid7

import_ahead()

api = Api()

# Each name has a million codes: several collisions in a row are a fault, not chance.
CODE_ATTEMPTS = 3


def _build_answer(facts: Row) -> Answer:
    agent = AgentDetails.model_validate(facts)
    return make_answer(agent, version=agent.version)


def _apply_with_unused_code(call: Call[AgentApplication]) -> Row:
    for _ in range(CODE_ATTEMPTS):
        try:
            code = make_referral_code(call.input.full_name)
            return call.run_once(
                service.apply_as_agent, call.input, agent_id=make_uuid7(), referral_code=code, actor=call.actor
            )
        except Refusal as refusal:
            if refusal.name != "referral-code-taken":
                raise
    raise Unavailable("referral-code")


@api.post(
    "/agents",
    operation_id="agents.create",
    summary="Apply as an agent",
    input=AgentApplication,
    answer=AgentView,
    status=201,
    sign_in="none",
    limit="agent-application",
    key="required",
    refusals=("email-taken",),
)
def apply_as_agent(call: Call[AgentApplication]) -> Answer:
    """Apply to become an agent; staff decide. A rejected applicant may apply again after 30 days."""
    agent = AgentView.model_validate(_apply_with_unused_code(call))
    return make_answer(agent, status=201, version=agent.version, location=f"/agents/{agent.id}")


@api.get(
    "/agents",
    operation_id="agents.list",
    summary="List agents",
    input=AgentQuery,
    answer=Page[AgentDetails],
    access=STAFF,
)
def list_agents(call: Call[AgentQuery]) -> Answer:
    """List all agents, or those in one state."""
    state = call.input.state or call.input.status
    return list_page(call, f"agents {state}", AgentDetails, service.list_agents, state=state)


@api.get(
    "/agents/me",
    operation_id="agents.get_own",
    summary="Read your own record",
    answer=AgentDetails,
    access=AGENT,
    refusals=("not-found",),
)
@api.get(
    "/agents/{agent_id}",
    operation_id="agents.get",
    summary="Read an agent",
    answer=AgentDetails,
    access=AGENT | STAFF,
    refusals=("not-found",),
)
def read_agent(call: Call[NoInput]) -> Answer:
    """Read the record; staff also see who decided about the agent, and why."""
    return _build_answer(call.read(service.read_agent, call.ids.get("agent_id"), call.scope))


@api.post(
    "/agents/{agent_id}/decision",
    operation_id="agents.decide",
    summary="Decide about an agent",
    input=AgentDecision,
    answer=AgentDetails,
    access=STAFF,
    limit="claim-work",
    refusals=("not-found", "decision-not-allowed"),
)
def decide_about_agent(call: Call[AgentDecision]) -> Answer:
    """Approve or reject an application; suspend an active agent, or reinstate one."""
    decision = call.input
    agent_id = call.ids["agent_id"]
    return _build_answer(
        call.run_once(service.decide_about_agent, agent_id, decision.decision, reason=decision.reason, actor=call.actor)
    )


@api.patch(
    "/agents/{agent_id}",
    operation_id="agents.update",
    summary="Change an agent's terms",
    input=AgentChange,
    answer=AgentDetails,
    access=ADMIN,
    limit="claim-work",
    if_match=True,
    refusals=("not-found", "stale-version"),
)
def change_terms(call: Call[AgentChange]) -> Answer:
    """Change tier and commission rate for future commissions, based on the version that If-Match names."""
    agent_id = call.ids["agent_id"]
    return _build_answer(
        call.run_once(service.change_terms, agent_id, call.input, versions=call.versions, actor=call.actor)
    )


@api.get(
    "/agents/me/clients",
    operation_id="agents.list_own_clients",
    summary="List your clients",
    input=PageQuery,
    answer=Page[ClientView],
    access=AGENT,
    refusals=("agent-not-active",),
)
def list_clients(call: Call[PageQuery]) -> Answer:
    """List names, numbers and memberships; an agent has no access to the claims of the members they brought in."""
    return list_page(
        call, f"clients {call.sub}", ClientView, service.list_clients, sub=call.sub, today=call.services.read_today()
    )


@api.get(
    "/agents/me/commissions",
    operation_id="agents.list_own_commissions",
    summary="List your commissions",
    input=PageQuery,
    answer=Page[CommissionView],
    access=AGENT,
    refusals=("agent-not-active",),
)
def list_own_commissions(call: Call[PageQuery]) -> Answer:
    """List your commissions, newest first."""
    return list_page(call, f"commissions {call.sub}", CommissionView, service.list_commissions, sub=call.sub)


@api.get(
    "/commissions",
    operation_id="commissions.list",
    summary="List commissions",
    input=CommissionQuery,
    answer=Page[CommissionDetails],
    access=STAFF,
)
def list_commissions(call: Call[CommissionQuery]) -> Answer:
    """List all commissions, or those in one state, of one agent, or earned in one month; newest first."""
    query = call.input
    listing = f"commissions {query.state} {query.agent} {query.month}"
    return list_page(call, listing, CommissionDetails, commissions.list_commissions, query=query)


@api.post(
    "/commissions/{commission_id}/decision",
    operation_id="commissions.decide",
    summary="Decide about a commission",
    input=CommissionDecision,
    answer=CommissionDetails,
    access=STAFF,
    limit="claim-work",
    refusals=(
        "not-found",
        "own-commission",
        "commission-move-not-allowed",
        "commission-agent-not-active",
        "commission-member-not-proven",
    ),
)
def decide_commission(call: Call[CommissionDecision]) -> Answer:
    """Approve a commission, or void it; paid and void are final."""
    decision, commission_id = call.input, call.ids["commission_id"]
    facts = call.run_once(
        commissions.decide_commission,
        commission_id,
        decision.decision,
        reason=decision.reason,
        sub=call.sub,
        actor=call.actor,
    )
    return make_answer(CommissionDetails.model_validate(facts))


@api.post(
    "/payouts",
    operation_id="payouts.create",
    summary="Make a month's payout run",
    input=PayoutRequest,
    answer=PayoutSummary,
    status=201,
    access=ADMIN,
    limit="claim-work",
    refusals=("payout-too-early",),
)
def make_payout(call: Call[PayoutRequest]) -> Answer:
    """Pay every approved commission that was earned by the end of the month; repeating it returns the first run."""
    facts = call.run_once(
        payouts.run_payout,
        call.input.month,
        payout_id=make_uuid7(),
        today=call.services.read_today(),
        sub=call.sub,
        actor=call.actor,
    )
    payout = PayoutSummary.model_validate(facts)
    return make_answer(payout, status=201, location=f"/payouts/{payout.id}")


@api.get(
    "/payouts",
    operation_id="payouts.list",
    summary="List payout runs",
    input=PageQuery,
    answer=Page[PayoutSummary],
    access=ADMIN,
)
def list_payouts(call: Call[PageQuery]) -> Answer:
    """List payout runs, newest first."""
    return list_page(call, "payouts", PayoutSummary, payouts.list_payouts)


@api.get(
    "/payouts/{payout_id}",
    operation_id="payouts.get",
    summary="Read a payout run",
    answer=PayoutView,
    access=ADMIN,
    refusals=("not-found",),
)
def read_payout(call: Call[NoInput]) -> Answer:
    """Read a payout run with a statement for each agent: its lines and their sum."""
    return make_answer(PayoutView.model_validate(call.read(payouts.read_payout, call.ids["payout_id"])))


@api.get(
    "/agents/me/statements",
    operation_id="agents.list_own_statements",
    summary="List your statements",
    input=PageQuery,
    answer=Page[StatementView],
    access=AGENT,
    refusals=("agent-not-active",),
)
def list_own_statements(call: Call[PageQuery]) -> Answer:
    """List what was paid, the latest run first; also for suspended agents."""
    return list_page(call, f"statements {call.sub}", StatementView, payouts.list_own_statements, sub=call.sub)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve as Lambda's entry point."""
    return api.handle(event, context, get_container())
