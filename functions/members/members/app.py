"""The handler of the members API: registration, contact data and memberships."""

from datetime import date
from typing import Any, Protocol
from uuid import UUID

from members import service
from members.model import ContactChange, MemberQuery, MemberView, NewMember
from shared.access import AccessScope
from shared.api.auth.caller import AGENT, MEMBER, STAFF, Caller
from shared.api.call import Call, list_page
from shared.api.operation import NoInput, OperationOptions
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.container import get_container, import_ahead
from shared.database.transaction import Pending, Row, Transaction
from shared.errors import FieldError, Refusal
from shared.fields import HomeCountry
from shared.fields.pagination import Page
from shared.ids import make_uuid7
from shared.outbox.audit import Actor

import_ahead()

api = Api()

SELF_OR_STAFF = MEMBER | STAFF


def choose_registration_limit(caller: Caller | None) -> str:
    """Return the rate limit of a registration; agents and staff register more people than members do for themselves."""
    return "agent-registration" if caller else "member-registration"


def _build_answer(facts: dict[str, Any], *, status: int = 200) -> Answer:
    member = MemberView.model_validate(facts)
    location = f"/members/{member.id}" if status == 201 else None
    return make_answer(member, status=status, version=member.version, location=location)


def _require_country(country: HomeCountry, served: HomeCountry) -> None:
    """Raise Refusal("invalid-request") for a country that another stack serves."""
    if country != served:
        error = FieldError("/country", f"is served elsewhere: members register here in {served}")
        raise Refusal("invalid-request", errors=(error,))


@api.post(
    "/members",
    operation_id="members.create",
    summary="Register a member",
    input=NewMember,
    answer=MemberView,
    status=201,
    sign_in="optional",
    access=AGENT | STAFF,
    limit=choose_registration_limit,
    key="required",
    refusals=("email-taken", "referral-code-unknown", "agent-not-active"),
)
def register_member(call: Call[NewMember]) -> Answer:
    """Register a member: anyone for themselves, an agent a client of their own, staff somebody who calls.

    With an active agent's token the member becomes that agent's client; with another, the client of whoever's
    `referral_code` is named.
    """
    _require_country(call.input.country, call.services.settings.country)
    agent_sub = call.sub if call.caller and not call.is_by_staff else None
    today = call.services.read_today()
    facts = call.run_once(
        service.register_member, call.input, member_id=make_uuid7(), agent_sub=agent_sub, today=today, actor=call.actor
    )
    return _build_answer(facts, status=201)


@api.get(
    "/members",
    operation_id="members.list",
    summary="Find members",
    input=MemberQuery,
    answer=Page[MemberView],
    access=STAFF,
)
def list_members(call: Call[MemberQuery]) -> Answer:
    """List all members, those with part of a name or phone number, or the one with a number or an email address."""
    query = call.input
    listing = f"members {query.number} {query.email}"
    if query.name is not None or query.phone is not None:
        # A cursor is valid for its own search only. Without these filters the name stays that of the release before,
        # whose cursors clients may still hold.
        listing += f" {query.name} {query.phone}"
    today = call.services.read_today()
    return list_page(call, listing, MemberView, service.list_members, query=query, today=today)


@api.get(
    "/members/me",
    operation_id="members.get_own",
    summary="Read your own record",
    answer=MemberView,
    access=MEMBER,
    refusals=("not-found",),
)
@api.get(
    "/members/{member_id}",
    operation_id="members.get",
    summary="Read a member",
    answer=MemberView,
    access=SELF_OR_STAFF,
    refusals=("not-found",),
)
def read_member(call: Call[NoInput]) -> Answer:
    """Read the record: contact data, and the membership as it is today."""
    return _build_answer(
        call.read(service.read_member, call.ids.get("member_id"), call.scope, today=call.services.read_today())
    )


CHANGE: OperationOptions = {
    "operation_id": "members.update",
    "summary": "Change contact data",
    "input": ContactChange,
    "answer": MemberView,
    "access": SELF_OR_STAFF,
    "if_match": True,
    "limit": "membership-change",
    "refusals": ("not-found", "stale-version"),
}
CHANGE_OWN: OperationOptions = {**CHANGE, "operation_id": "members.update_own", "access": MEMBER}


@api.patch("/members/me", **CHANGE_OWN)
@api.patch("/members/{member_id}", **CHANGE)
def change_contact(call: Call[ContactChange]) -> Answer:
    """Change name, phone or language, based on the version that If-Match names."""
    today = call.services.read_today()
    facts = call.run_once(
        service.change_contact,
        call.ids.get("member_id"),
        call.scope,
        call.input,
        versions=call.versions,
        today=today,
        actor=call.actor,
    )
    return _build_answer(facts)


class MembershipChange(Protocol):
    """A use case that changes a membership."""

    def __call__(
        self, tx: Transaction, member_id: UUID, scope: AccessScope, *, today: date, actor: Actor
    ) -> Pending[Row]:
        """Queue the statements of the change."""
        ...


def _change_membership(call: Call[NoInput], use_case: MembershipChange, *, status: int = 200) -> Answer:
    facts = call.run_once(
        use_case, call.ids["member_id"], call.scope, today=call.services.read_today(), actor=call.actor
    )
    return _build_answer(facts, status=status)


@api.post(
    "/members/{member_id}/renewals",
    operation_id="members.renew",
    summary="Renew the membership",
    answer=MemberView,
    status=201,
    access=SELF_OR_STAFF,
    limit="membership-change",
    key="required",
    refusals=("not-found", "membership-paused", "renewal-too-early"),
)
def renew_membership(call: Call[NoInput]) -> Answer:
    """Add a year after the current end, or from today on if the membership has ended."""
    return _change_membership(call, service.renew_membership, status=201)


@api.post(
    "/members/{member_id}/cancellation",
    operation_id="members.cancel",
    summary="Cancel the membership",
    answer=MemberView,
    access=SELF_OR_STAFF,
    limit="membership-change",
    refusals=("not-found", "membership-ended"),
)
def cancel_membership(call: Call[NoInput]) -> Answer:
    """Cancel the membership at the end of its period; repeating it changes nothing."""
    return _change_membership(call, service.cancel_membership)


@api.post(
    "/members/{member_id}/pause",
    operation_id="members.pause",
    summary="Pause the membership",
    answer=MemberView,
    access=STAFF,
    limit="membership-change",
    refusals=("not-found", "membership-not-running", "pause-days-used"),
)
def pause_membership(call: Call[NoInput]) -> Answer:
    """Take access away from today on.

    The end will move by the days paused, at most 90 between two renewals; when they are used up, the membership resumes
    automatically. Repeating it changes nothing.
    """
    return _change_membership(call, service.pause_membership)


@api.post(
    "/members/{member_id}/resume",
    operation_id="members.resume",
    summary="Resume the membership",
    answer=MemberView,
    access=STAFF,
    limit="membership-change",
    refusals=("not-found", "membership-ended"),
)
def resume_membership(call: Call[NoInput]) -> Answer:
    """Give access again from today on, and move the end by the days paused. Repeating it changes nothing."""
    return _change_membership(call, service.resume_membership)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve as Lambda's entry point."""
    return api.handle(event, context, get_container())
