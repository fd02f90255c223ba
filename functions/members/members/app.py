"""The members' function: parse, call once, map."""

from typing import Any

from members import service
from members.model import ContactChange, MemberQuery, MemberView, NewMember
from shared.errors import FieldError, Refusal
from shared.http.api import Api, Contract
from shared.http.caller import AGENT, MEMBER, STAFF, Caller
from shared.http.operation import Answer, Call, Nothing, answered, page
from shared.http.pages import Page
from shared.ids import uuid7
from shared.settings import HomeCountry
from shared.wiring import wiring

api = Api()

SELF_OR_STAFF = MEMBER | STAFF


def registration_limit(caller: Caller | None) -> str:
    """An agent signs up more people than somebody at home does."""
    return "agent-registration" if caller else "member-registration"


def _view(facts: dict[str, Any], *, status: int = 200) -> Answer:
    member = MemberView.model_validate(facts)
    location = f"/api/members/{member.id}" if status == 201 else None
    return answered(member, status=status, version=member.version, location=location)


def _whose(call: Call[Any]) -> service.Whose:
    return service.Whose(call.ids.get("member_id"), call.sub, call.by_staff)


def _require_country(asked: HomeCountry, served: HomeCountry) -> None:
    """Raise Refusal("invalid-request") for a country that another stack serves."""
    if asked != served:
        error = FieldError("/country", f"is served elsewhere: members register here in {served}")
        raise Refusal("invalid-request", errors=(error,))


@api.post(
    "/members",
    summary="Register a member",
    input=NewMember,
    answer=MemberView,
    status=201,
    sign_in="optional",
    access=AGENT,
    limit=registration_limit,
    key="required",
    refusals=("email-taken", "referral-code-unknown", "agent-not-active"),
)
def register(call: Call[NewMember]) -> Answer:
    """Open to anyone; an active agent's own token makes the member that agent's client."""
    _require_country(call.input.country, call.wiring.settings.country)
    agent_sub = call.caller.sub if call.caller else None
    facts = call.once(
        service.register,
        call.input,
        member_id=uuid7(),
        agent_sub=agent_sub,
        today=call.wiring.today(),
        actor=call.actor,
    )
    return _view(facts, status=201)


@api.get("/members", summary="Find members", input=MemberQuery, answer=Page[MemberView], access=STAFF)
def find(call: Call[MemberQuery]) -> Answer:
    """For staff: all, or the one of a number or an email address."""
    asked = call.input
    return page(
        call, f"members {asked.number} {asked.email}", MemberView, service.find, number=asked.number, email=asked.email
    )


@api.get("/members/me", summary="Read yourself", answer=MemberView, access=MEMBER, refusals=("not-found",))
@api.get(
    "/members/{member_id}", summary="Read a member", answer=MemberView, access=SELF_OR_STAFF, refusals=("not-found",)
)
def read(call: Call[Nothing]) -> Answer:
    """The member, to that member and to staff."""
    return _view(call.read(service.read, _whose(call)))


CHANGE: Contract = {
    "summary": "Change contact data",
    "input": ContactChange,
    "answer": MemberView,
    "access": SELF_OR_STAFF,
    "if_match": True,
    "limit": "membership-change",
    "refusals": ("not-found", "stale-version"),
}


@api.patch("/members/me", **CHANGE)
@api.patch("/members/{member_id}", **CHANGE)
def change_contact(call: Call[ContactChange]) -> Answer:
    """Name, phone and language; decided on the version that If-Match names."""
    return _view(call.once(service.change_contact, _whose(call), call.input, versions=call.versions, actor=call.actor))


@api.post(
    "/members/{member_id}/renewals",
    summary="Renew the membership",
    answer=MemberView,
    status=201,
    access=SELF_OR_STAFF,
    limit="membership-change",
    key="required",
    refusals=("not-found",),
)
def renew(call: Call[Nothing]) -> Answer:
    """A year more, from the current end."""
    facts = call.once(service.renew, call.ids["member_id"], _whose(call), today=call.wiring.today(), actor=call.actor)
    return _view(facts, status=201)


@api.post(
    "/members/{member_id}/cancellation",
    summary="Cancel the membership",
    answer=MemberView,
    access=SELF_OR_STAFF,
    limit="membership-change",
    refusals=("not-found", "membership-ended"),
)
def cancel(call: Call[Nothing]) -> Answer:
    """Takes effect at the end of the period."""
    return _view(call.once(service.cancel, call.ids["member_id"], _whose(call), actor=call.actor))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point."""
    return api.handle(event, context, wiring())
