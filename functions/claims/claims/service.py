"""The use cases of claims; each queues its statements in an open transaction."""

from datetime import date, timedelta
from uuid import UUID

from claims.model import ClaimQuery, NewClaim, NewDocument, Transition
from shared.access import AccessScope
from shared.database.transaction import Pending, Row, Transaction
from shared.ids import make_uuid7
from shared.outbox.audit import Actor, record_audit
from shared.outbox.jobs import WAKE_RELAY, enqueue, make_mail_job
from shared.outbox.payload import PAYLOAD_SQL, format_origin
from shared.sql import Query, load_queries

SQL = load_queries("claims", parts=PAYLOAD_SQL)


def submit_claim(
    tx: Transaction, new: NewClaim, *, claim_id: UUID, sub: str, today: date, actor: Actor
) -> Pending[Row]:
    """Write a claim. Refusals: membership-required."""
    tx.add(SQL["require_member"], sub=sub)
    tx.add(SQL["insert_claim"], id=claim_id, sub=sub, today=today, **new.model_dump())
    tx.add(SQL["insert_first_history"], id=claim_id)
    tx.add(SQL["enqueue_received"], job_id=make_uuid7(), id=claim_id, origin=format_origin())
    enqueue(tx, make_mail_job("staff-new-claim", to=None, subject_id=claim_id))
    record_audit(tx, actor, "claim.submitted", claim_id, category=new.category)
    return _read_visible_claim(tx, claim_id, AccessScope(sub))


def read_claim(tx: Transaction, claim_id: UUID, scope: AccessScope, *, actor: Actor) -> Pending[Row]:
    """Return a claim. Refusals: not-found."""
    _record_read(tx, "claim.read", claim_id, scope, actor)
    return _read_visible_claim(tx, claim_id, scope)


def list_claims(
    tx: Transaction,
    after: UUID,
    count: int,
    *,
    scope: AccessScope,
    actor: Actor,
    query: ClaimQuery,
) -> Pending[list[Row]]:
    """List the claims that the caller may see, newest first."""
    filters = {**query.model_dump(exclude={"limit", "cursor"}), "after": after, "count": count}
    statement = SQL["claims"]
    if scope.staff:
        # One statement lists the claims and writes the audit entry of which claims were shown.
        statement = Query(SQL["record_list"].replace("{page}", statement))
        filters |= {"audit_id": make_uuid7(), "request_id": actor.request_id}
    return tx.fetch_all(statement, **scope.params, **filters)


def list_transitions(
    tx: Transaction, after: UUID, count: int, *, claim_id: UUID, scope: AccessScope, actor: Actor
) -> Pending[list[Row]]:
    """List a claim's transitions, the latest first. Refusals: not-found."""
    tx.add(SQL["require_claim"], id=claim_id, **scope.params)
    _record_read(tx, "claim.history_read", claim_id, scope, actor)
    return tx.fetch_all(SQL["transitions"], id=claim_id, after=after, count=count)


def transition_claim(
    tx: Transaction,
    claim_id: UUID,
    transition: Transition,
    scope: AccessScope,
    *,
    versions: list[int] | None,
    actor: Actor,
) -> Pending[Row]:
    """Change a claim's state and write the mail about it.

    Refusals: not-found, forbidden, stale-version, move-not-allowed.
    """
    # Members may only withdraw a claim; staff may do everything else.
    is_allowed = scope.staff != (transition.to == "withdrawn")
    tx.add(SQL["require_account"], sub=scope.sub)
    tx.add(SQL["lock_claim"], id=claim_id, **scope.params)
    tx.add(SQL["require_right_to_transition"], is_allowed=is_allowed)
    tx.add(SQL["require_version"], id=claim_id, versions=versions)
    tx.add(SQL["require_transition"], id=claim_id, to=transition.to)
    tx.add(SQL["insert_history"], id=claim_id, sub=scope.sub, role=_find_role(scope), **transition.model_dump())
    tx.add(SQL["transition_claim"], id=claim_id, to=transition.to)
    job_id = make_uuid7()
    tx.add(SQL["enqueue_transition_mail"], job_id=job_id, id=claim_id, origin=format_origin())
    tx.run_after_commit(WAKE_RELAY, job_id)
    tx.add(SQL["record_transition"], audit_id=make_uuid7(), id=claim_id, actor=scope.sub, request_id=actor.request_id)
    return _read_visible_claim(tx, claim_id, scope)


def assign_claim(
    tx: Transaction,
    claim_id: UUID,
    staff_id: UUID | None,
    scope: AccessScope,
    *,
    versions: list[int] | None,
    actor: Actor,
) -> Pending[Row]:
    """Assign a claim to a staff member, or to the caller if `staff_id` is None.

    The same assignee again changes nothing.

    Refusals: not-found, stale-version, assignee-unknown.
    """
    tx.add(SQL["lock_assignee"], staff_id=staff_id, sub=scope.sub)
    tx.add(SQL["lock_claim"], id=claim_id, **scope.params)
    tx.add(SQL["require_version"], id=claim_id, versions=versions)
    tx.add(SQL["require_staff_member"], staff_id=staff_id, sub=scope.sub)
    tx.add(SQL["assign"], id=claim_id, staff_id=staff_id, sub=scope.sub)
    record_audit(tx, actor, "claim.assigned", claim_id, if_written="claims", staff_id=staff_id or "self")
    return _read_visible_claim(tx, claim_id, scope)


def unassign_claim(
    tx: Transaction, claim_id: UUID, scope: AccessScope, *, versions: list[int] | None, actor: Actor
) -> Pending[Row]:
    """Take a claim from its assignee; one that nobody has stays unchanged. Refusals: not-found, stale-version."""
    tx.add(SQL["lock_claim"], id=claim_id, **scope.params)
    tx.add(SQL["require_version"], id=claim_id, versions=versions)
    tx.add(SQL["unassign"], id=claim_id)
    record_audit(tx, actor, "claim.unassigned", claim_id, if_written="claims")
    return _read_visible_claim(tx, claim_id, scope)


def announce_document(
    tx: Transaction,
    claim_id: UUID,
    new: NewDocument,
    scope: AccessScope,
    *,
    document_id: UUID,
    key: str,
    form_life: timedelta,
    actor: Actor,
) -> Pending[Row]:
    """Reserve one of the claim's ten places for a file, as long as its upload form is valid.

    Refusals: not-found, claim-closed, too-many-documents.
    """
    tx.add(SQL["lock_claim"], id=claim_id, **scope.params)
    tx.add(SQL["require_open"], id=claim_id)
    tx.add(SQL["release_places"], id=claim_id, form_life=form_life)
    tx.add(SQL["require_free_place"], id=claim_id)
    tx.add(SQL["insert_document"], id=claim_id, document_id=document_id, object_key=key, **new.model_dump())
    record_audit(tx, actor, "document.announced", document_id, claim_id=claim_id)
    return _read_visible_document(tx, claim_id, document_id, scope)


def read_document(
    tx: Transaction, claim_id: UUID, document_id: UUID, scope: AccessScope, *, actor: Actor
) -> Pending[Row]:
    """Return a document. Refusals: not-found."""
    _record_read(tx, "document.read", document_id, scope, actor)
    return _read_visible_document(tx, claim_id, document_id, scope)


def list_documents(
    tx: Transaction, after: UUID, count: int, *, claim_id: UUID, scope: AccessScope, actor: Actor
) -> Pending[list[Row]]:
    """List a claim's documents, newest first. Refusals: not-found."""
    tx.add(SQL["require_claim"], id=claim_id, **scope.params)
    _record_read(tx, "claim.documents_read", claim_id, scope, actor)
    return tx.fetch_all(SQL["documents"], id=claim_id, after=after, count=count)


def record_check(
    tx: Transaction,
    claim_id: UUID,
    document_id: UUID,
    scope: AccessScope,
    *,
    mismatch: str | None,
    key: str,
    actor: Actor,
) -> Pending[Row]:
    """Record the result of an uploaded file's first check: rejected if there is a `mismatch`, else available.

    The document's object is under `key` from then on. Refusals: not-found, claim-closed, document-not-available,
    too-many-documents.
    """
    tx.add(SQL["lock_claim"], id=claim_id, **scope.params)
    tx.add(SQL["lock_document"], id=claim_id, document_id=document_id)
    tx.add(SQL["require_open_for"], document_id=document_id, states=["pending"])
    tx.add(SQL["require_not_expiring"], document_id=document_id)
    if not mismatch:
        tx.add(SQL["require_place_for_late_file"], document_id=document_id)
    audit = {"audit_id": make_uuid7(), "actor": scope.sub, "request_id": actor.request_id}
    result = "rejected" if mismatch else "available"
    changes = {"check_result": result, "mismatch": mismatch, "object_key": key}
    tx.add(SQL["record_check"], document_id=document_id, **changes, **audit)
    return _read_visible_document(tx, claim_id, document_id, scope)


def remove_document(
    tx: Transaction, claim_id: UUID, document_id: UUID, scope: AccessScope, *, actor: Actor
) -> Pending[Row]:
    """Remove a document and return the keys of its objects; repeating it changes nothing.

    Refusals: not-found, claim-closed.
    """
    tx.add(SQL["lock_claim"], id=claim_id, **scope.params)
    tx.add(SQL["lock_document"], id=claim_id, document_id=document_id)
    tx.add(SQL["require_open_for"], document_id=document_id, states=["pending", "available"])
    audit = {"audit_id": make_uuid7(), "actor": scope.sub, "request_id": actor.request_id}
    tx.add(SQL["remove_document"], document_id=document_id, **audit)
    return tx.fetch_answer(SQL["removed_document"], document_id=document_id)


def _record_read(tx: Transaction, action: str, subject_id: UUID, scope: AccessScope, actor: Actor) -> None:
    """Queue the audit entry of a read by staff; members who read their own claim are not audited."""
    if scope.staff:
        audit = {"actor": scope.sub, "request_id": actor.request_id}
        tx.add(SQL["record_read"], audit_id=make_uuid7(), action=action, id=subject_id, **audit)


def _read_visible_claim(tx: Transaction, claim_id: UUID, scope: AccessScope) -> Pending[Row]:
    return tx.fetch_answer(SQL["claim"], id=claim_id, **scope.params)


def _read_visible_document(tx: Transaction, claim_id: UUID, document_id: UUID, scope: AccessScope) -> Pending[Row]:
    return tx.fetch_answer(SQL["document"], id=claim_id, document_id=document_id, **scope.params)


def _find_role(scope: AccessScope) -> str:
    """Return the role of the caller that the claim's history shows."""
    return "admin" if scope.admin else "staff" if scope.staff else "member"
