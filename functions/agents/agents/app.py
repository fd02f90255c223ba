"""The agents' function: parse, call once, map."""

from typing import Any

from agents import service
from agents.model import AgentQuery, AgentView, Application, ClientView, CommissionView, DecisionRequest
from agents.referral import referral_code
from shared.errors import Refusal, Unavailable
from shared.http.api import Api
from shared.http.caller import AGENT, STAFF
from shared.http.operation import Answer, Call, Nothing, answered, page
from shared.http.pages import Page, PageQuery
from shared.ids import uuid7
from shared.postgres.transaction import Row
from shared.wiring import wiring

api = Api()

# A code is one of a million for its name: a second collision in a row is no accident.
CODE_ATTEMPTS = 3


def _view(facts: Row, *, status: int = 200) -> Answer:
    agent = AgentView.model_validate(facts)
    location = f"/api/agents/{agent.id}" if status == 201 else None
    return answered(agent, status=status, version=agent.version, location=location)


def _apply_with_free_code(call: Call[Application]) -> Row:
    for _ in range(CODE_ATTEMPTS):
        try:
            code = referral_code(call.input.full_name)
            return call.once(service.apply, call.input, agent_id=uuid7(), referral_code=code, actor=call.actor)
        except Refusal as refusal:
            if refusal.name != "referral-code-taken":
                raise
    raise Unavailable("referral-code")


@api.post(
    "/agents",
    summary="Apply as an agent",
    input=Application,
    answer=AgentView,
    status=201,
    sign_in="none",
    limit="agent-application",
    key="required",
    refusals=("email-taken",),
)
def apply(call: Call[Application]) -> Answer:
    """Open to anyone; staff decide."""
    return _view(_apply_with_free_code(call), status=201)


@api.get("/agents", summary="List agents", input=AgentQuery, answer=Page[AgentView], access=STAFF)
def find(call: Call[AgentQuery]) -> Answer:
    """For staff: all, or those in one state."""
    return page(call, f"agents {call.input.status}", AgentView, service.find, state=call.input.status)


@api.get("/agents/me", summary="Read yourself", answer=AgentView, access=AGENT, refusals=("not-found",))
@api.get("/agents/{agent_id}", summary="Read an agent", answer=AgentView, access=AGENT | STAFF, refusals=("not-found",))
def read(call: Call[Nothing]) -> Answer:
    """The agent, to that agent and to staff."""
    return _view(call.read(service.read, call.ids.get("agent_id"), sub=call.sub, staff=call.by_staff))


@api.post(
    "/agents/{agent_id}/decision",
    summary="Decide about an agent",
    input=DecisionRequest,
    answer=AgentView,
    access=STAFF,
    limit="claim-work",
    refusals=("not-found", "decision-not-allowed"),
)
def decide(call: Call[DecisionRequest]) -> Answer:
    """Approve or reject an application; suspend an active agent, or reinstate one."""
    asked = call.input
    agent_id = call.ids["agent_id"]
    return _view(call.once(service.decide, agent_id, asked.decision, reason=asked.reason, actor=call.actor))


@api.get(
    "/agents/me/clients",
    summary="List your clients",
    input=PageQuery,
    answer=Page[ClientView],
    access=AGENT,
    refusals=("agent-not-active",),
)
def clients(call: Call[PageQuery]) -> Answer:
    """Names, numbers and membership; bringing a member in gives no access to their claims."""
    return page(call, f"clients {call.sub}", ClientView, service.clients, sub=call.sub)


@api.get(
    "/agents/me/commissions",
    summary="List your commissions",
    input=PageQuery,
    answer=Page[CommissionView],
    access=AGENT,
    refusals=("agent-not-active",),
)
def commissions(call: Call[PageQuery]) -> Answer:
    """Newest first."""
    return page(call, f"commissions {call.sub}", CommissionView, service.commissions, sub=call.sub)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point."""
    return api.handle(event, context, wiring())
