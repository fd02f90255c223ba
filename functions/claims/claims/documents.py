"""A claim's documents: announced, uploaded directly to the bucket, checked, and only then part of the claim."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

from claims import service
from claims.file_types import MISMATCHES, Mismatch, is_of_type
from claims.model import DocumentView, DownloadView, ExpiringUpload, NewDocument, UploadForm
from shared.access import AccessScope
from shared.api.call import Call
from shared.api.responses import Answer, make_answer
from shared.api.services import Services
from shared.aws.s3 import DOWNLOAD_EXPIRES_S, UPLOAD_EXPIRES_S, DocumentStore, StoredObject
from shared.database.transaction import Row
from shared.errors import DependencyFailed, Refusal, Unavailable
from shared.ids import make_uuid7
from shared.logging import logger

LINK_LIFE = timedelta(seconds=DOWNLOAD_EXPIRES_S)
FORM_LIFE = timedelta(seconds=UPLOAD_EXPIRES_S)


class ClaimsServices(Services, Protocol):
    """The services that a call about claims uses."""

    @property
    def document_store(self) -> DocumentStore:
        """Return the store of the claims' documents."""
        ...


def announce_document(call: Call[NewDocument, ClaimsServices], scope: AccessScope) -> Answer:
    """Reserve a place for a document; its upload form is signed anew for each answer, because it soon expires."""
    claim_id, document_id = call.ids["claim_id"], make_uuid7()
    key = f"uploads/{claim_id}/{document_id}"
    facts = call.run_once(
        service.announce_document,
        claim_id,
        call.input,
        scope,
        document_id=document_id,
        key=key,
        form_life=FORM_LIFE,
        actor=call.actor,
    )
    announced = {name: facts[name] for name in ("object_key", "content_type", "size")}
    return make_answer(DocumentView.model_validate(facts), status=201, facts=announced)


def sign_upload(call: Call[Any, ClaimsServices], announced: Mapping[str, Any]) -> ExpiringUpload:
    """Sign a form for an announced document. Nothing else changes: the place is not reserved for longer."""
    form = call.services.document_store.presign_upload(
        key=announced["object_key"], content_type=announced["content_type"], size=announced["size"]
    )
    return ExpiringUpload(upload=UploadForm(url=form.url, fields=dict(form.fields)))


def complete_document(call: Call[Any, ClaimsServices], scope: AccessScope) -> Answer:
    """Check the uploaded file between two transactions and record the result; remove it if it is not as announced."""
    facts = _read_document(call, scope)
    if facts["state"] == "pending":
        facts = _check_upload(call, scope, facts)
    if facts["state"] == "rejected":
        raise Refusal("document-mismatch", detail=_find_rejection_reason(facts))
    return make_answer(DocumentView.model_validate(facts))


def make_download_link(call: Call[Any, ClaimsServices], scope: AccessScope) -> Answer:
    """Return a link to an available document."""
    facts = _read_document(call, scope)
    if facts["state"] != "available":
        raise Refusal("document-not-available")
    url = call.services.document_store.presign_download(
        key=facts["object_key"], file_name=facts["file_name"], content_type=facts["content_type"]
    )
    return make_answer(DownloadView(url=url, expires_at=call.services.clock() + LINK_LIFE))


def remove_document(call: Call[Any, ClaimsServices], scope: AccessScope) -> Answer:
    """Remove a document, then delete its objects; if that fails, repeating the call deletes them."""
    ids = (call.ids["claim_id"], call.ids["document_id"])
    removed = call.run_once(service.remove_document, *ids, scope, actor=call.actor)
    for key in {removed["object_key"], removed["upload_key"]}:
        call.services.document_store.delete(key)
    return Answer(204)


def _find_rejection_reason(facts: Row) -> str:
    reason = MISMATCHES.get(facts["mismatch"], "The file is not what was announced.")
    return f"{reason} The file was removed."


def _read_document(call: Call[Any, ClaimsServices], scope: AccessScope) -> Row:
    facts: Row = call.read(
        service.read_document, call.ids["claim_id"], call.ids["document_id"], scope, actor=call.actor
    )
    return facts


def _check_upload(call: Call[Any, ClaimsServices], scope: AccessScope, facts: Row) -> Row:
    # The form can overwrite its key as long as it is valid, so a copy outside its reach is checked and kept.
    upload, copy = facts["object_key"], f"claims/{facts['claim_id']}/{facts['id']}/{make_uuid7()}"
    if not call.services.document_store.copy(upload, copy):
        return _read_existing_check(call, scope)
    mismatch = _check_copy(call, facts, copy)
    key = upload if mismatch else copy
    ids = (call.ids["claim_id"], call.ids["document_id"])
    try:
        checked = call.run_once(service.record_check, *ids, scope, mismatch=mismatch, key=key, actor=call.actor)
    except Refusal:
        _remove_object(call, copy)
        raise
    # If another call's result was recorded first, nothing refers to this copy.
    _remove_object(call, upload if checked["object_key"] == copy else copy)
    return checked


def _read_existing_check(call: Call[Any, ClaimsServices], scope: AccessScope) -> Row:
    """Return the result of another call, which has removed the upload. Refusals: document-not-uploaded."""
    facts = _read_document(call, scope)
    if facts["state"] == "pending":
        raise Refusal("document-not-uploaded")
    return facts


def _check_copy(call: Call[Any, ClaimsServices], facts: Row, copy: str) -> Mismatch | None:
    """Return how the copy differs from the announcement, or None. If it does, remove copy and upload."""
    store = call.services.document_store
    found = _compare_with_announcement(facts, store.read_metadata(copy), store.read_first_bytes(copy))
    if found is not None:
        # Before the result is recorded: after a crash in between the document is pending, and the next attempt finds no
        # upload.
        store.delete(facts["object_key"])
        store.delete(copy)
    return found


def _compare_with_announcement(announced: Row, stored: StoredObject | None, head: bytes) -> Mismatch | None:
    if stored is None or stored.size != announced["size"]:
        return "size"
    if stored.content_type != announced["content_type"]:
        return "content_type"
    if not is_of_type(announced["content_type"], head, whole=len(head) == stored.size):
        return "first_bytes"
    return None


def _remove_object(call: Call[Any, ClaimsServices], key: str) -> None:
    """Delete an object that no record refers to; the check's result stands even if that fails."""
    try:
        call.services.document_store.delete(key)
    except (DependencyFailed, Unavailable) as failure:
        logger.warning("object_not_deleted", extra={"error": str(failure)})
