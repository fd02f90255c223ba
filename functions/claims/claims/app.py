"""The handler of the claims API: claims, their transitions and their documents."""

from typing import Any
from uuid import UUID

from claims import documents, service
from claims.documents import ClaimsServices
from claims.model import (
    AnnouncedDocument,
    Assignment,
    ClaimQuery,
    ClaimView,
    DocumentView,
    DownloadView,
    NewClaim,
    NewDocument,
    Transition,
    TransitionView,
)
from shared.api.auth.caller import MEMBER, STAFF
from shared.api.call import Call, list_page
from shared.api.operation import NoInput
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.container import get_container, import_ahead
from shared.database.transaction import Row
from shared.fields.pagination import Page, PageQuery
from shared.ids import make_uuid7

import_ahead()

api: Api[ClaimsServices] = Api()

OWNER_OR_STAFF = MEMBER | STAFF


def _build_answer(facts: Row, *, status: int = 200) -> Answer:
    claim = ClaimView.model_validate(facts)
    location = f"/claims/{claim.id}" if status == 201 else None
    return make_answer(claim, status=status, version=claim.version, location=location)


@api.post(
    "/claims",
    operation_id="claims.create",
    summary="Submit a claim",
    input=NewClaim,
    answer=ClaimView,
    status=201,
    access=MEMBER,
    limit="claim-submission",
    key="required",
    refusals=("membership-required",),
)
def submit_claim(call: Call[NewClaim]) -> Answer:
    """Submit a claim; for members whose membership gives access."""
    facts = call.run_once(
        service.submit_claim,
        call.input,
        claim_id=make_uuid7(),
        sub=call.sub,
        today=call.services.read_today(),
        actor=call.actor,
    )
    return _build_answer(facts, status=201)


@api.get(
    "/claims",
    operation_id="claims.list",
    summary="List claims",
    input=ClaimQuery,
    answer=Page[ClaimView],
    access=OWNER_OR_STAFF,
)
def list_claims(call: Call[ClaimQuery]) -> Answer:
    """List all claims to staff, to a member their own.

    Filters are number, member, state, assignee (`me` is the caller) and whether stuck.
    """
    query, scope = call.input, call.scope
    listing = f"claims {scope.sub} {query.state} {query.assignee} {query.stuck}"
    if query.number is not None or query.member_id is not None:
        # A cursor is valid for its own search only. Without these filters the name stays that of the release before,
        # whose cursors clients may still hold.
        listing += f" {query.number} {query.member_id}"
    return list_page(call, listing, ClaimView, service.list_claims, scope=scope, actor=call.actor, query=query)


@api.get(
    "/claims/{claim_id}", operation_id="claims.get", summary="Read a claim", answer=ClaimView, access=OWNER_OR_STAFF
)
def read_claim(call: Call[NoInput]) -> Answer:
    """Read the claim; for its member and for staff."""
    return _build_answer(call.read(service.read_claim, call.ids["claim_id"], call.scope, actor=call.actor))


@api.get(
    "/claims/{claim_id}/history",
    operation_id="claims.list_history",
    summary="Read a claim's history",
    input=PageQuery,
    answer=Page[TransitionView],
    access=OWNER_OR_STAFF,
)
def list_transitions(call: Call[PageQuery]) -> Answer:
    """List every transition of the claim, the latest first."""
    claim_id = call.ids["claim_id"]
    return list_page(
        call,
        f"history {claim_id}",
        TransitionView,
        service.list_transitions,
        claim_id=claim_id,
        scope=call.scope,
        actor=call.actor,
    )


@api.post(
    "/claims/{claim_id}/transitions",
    operation_id="claims.transition",
    summary="Change a claim's state",
    input=Transition,
    answer=ClaimView,
    access=OWNER_OR_STAFF,
    access_note="A member may withdraw their own claim; every other transition is for staff and admins.",
    limit="claim-work",
    if_match=True,
    refusals=("move-not-allowed",),
)
def transition_claim(call: Call[Transition]) -> Answer:
    """Change the claim's state if a transition leads there, see ClaimState. A member may only withdraw their own."""
    facts = call.run_once(
        service.transition_claim, call.ids["claim_id"], call.input, call.scope, versions=call.versions, actor=call.actor
    )
    return _build_answer(facts)


@api.put(
    "/claims/{claim_id}/assignee",
    operation_id="claims.assign",
    summary="Assign a claim, or unassign it",
    input=Assignment,
    answer=ClaimView,
    access=STAFF,
    limit="claim-work",
    if_match=True,
    refusals=("assignee-unknown",),
)
def assign_claim(call: Call[Assignment]) -> Answer:
    """Assign the claim to yourself (`me`), to another staff account, or to nobody (null)."""
    claim_id, assignee = call.ids["claim_id"], call.input.staff_id
    if assignee is None:
        return _build_answer(
            call.run_once(service.unassign_claim, claim_id, call.scope, versions=call.versions, actor=call.actor)
        )
    staff_id = None if assignee == "me" else UUID(assignee)
    facts = call.run_once(
        service.assign_claim, claim_id, staff_id, call.scope, versions=call.versions, actor=call.actor
    )
    return _build_answer(facts)


@api.post(
    "/claims/{claim_id}/documents",
    operation_id="documents.create",
    summary="Announce a document",
    input=NewDocument,
    answer=AnnouncedDocument,
    status=201,
    access=MEMBER,
    limit="document-upload",
    make_expiring_part=documents.sign_upload,
    refusals=("claim-closed", "too-many-documents"),
)
def announce_document(call: Call[NewDocument, ClaimsServices]) -> Answer:
    """Get a form that uploads exactly this file; complete the document after the upload."""
    return documents.announce_document(call, call.scope.restrict_to_owner())


@api.post(
    "/claims/{claim_id}/documents/{document_id}/completion",
    operation_id="documents.complete",
    summary="Complete an upload",
    answer=DocumentView,
    access=MEMBER,
    limit="read",
    refusals=(
        "document-not-uploaded",
        "document-not-available",
        "document-mismatch",
        "claim-closed",
        "too-many-documents",
    ),
    stores_answer=True,
)
def complete_document(call: Call[NoInput, ClaimsServices]) -> Answer:
    """Make the document available if its size, type and first bytes are as announced; otherwise it is removed."""
    return documents.complete_document(call, call.scope.restrict_to_owner())


@api.get(
    "/claims/{claim_id}/documents",
    operation_id="documents.list",
    summary="List a claim's documents",
    input=PageQuery,
    answer=Page[DocumentView],
    access=OWNER_OR_STAFF,
)
def list_documents(call: Call[PageQuery]) -> Answer:
    """List the claim's documents, newest first."""
    claim_id = call.ids["claim_id"]
    listing = f"documents {claim_id}"
    return list_page(
        call, listing, DocumentView, service.list_documents, claim_id=claim_id, scope=call.scope, actor=call.actor
    )


@api.get(
    "/claims/{claim_id}/documents/{document_id}/download",
    operation_id="documents.download",
    summary="Get a download link",
    answer=DownloadView,
    access=OWNER_OR_STAFF,
    refusals=("document-not-available",),
)
def make_download_link(call: Call[NoInput, ClaimsServices]) -> Answer:
    """Get a link that is valid for five minutes."""
    return documents.make_download_link(call, call.scope)


@api.delete(
    "/claims/{claim_id}/documents/{document_id}",
    operation_id="documents.delete",
    summary="Remove a document",
    answer=None,
    status=204,
    access=MEMBER,
    limit="document-upload",
    refusals=("claim-closed",),
    stores_answer=True,
)
def remove_document(call: Call[NoInput, ClaimsServices]) -> Answer:
    """Remove a document of your open claim: its file is deleted and its place is free. Repeating it is safe."""
    return documents.remove_document(call, call.scope.restrict_to_owner())


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve as Lambda's entry point."""
    return api.handle(event, context, get_container())
