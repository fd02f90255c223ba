"""A claim's evidence: announced here, uploaded straight to the bucket, looked at, and only then part of the case."""

from datetime import timedelta
from typing import Any

from claims import service
from claims.evidence import looks_like
from claims.model import AnnouncedDocument, DocumentView, DownloadView, NewDocument, UploadForm
from claims.service import Viewer
from shared.errors import Refusal
from shared.http.operation import Answer, Call, answered
from shared.ids import uuid7
from shared.postgres.transaction import Row

LINK_LIFE = timedelta(minutes=5)  # what the bucket's adapter signs


def announce(call: Call[NewDocument], viewer: Viewer) -> Answer:
    """Reserve a slot, then sign a form for exactly that file; a replay signs another form for the same slot."""
    claim_id, document_id = call.ids["claim_id"], uuid7()
    key = f"claims/{claim_id}/{document_id}"
    facts = call.once(
        service.announce, claim_id, call.input, viewer, document_id=document_id, key=key, actor=call.actor
    )
    form = call.wiring.evidence.presign_upload(
        key=facts["object_key"], content_type=facts["content_type"], size=facts["size"]
    )
    upload = UploadForm(url=form.url, fields=dict(form.fields))
    return answered(AnnouncedDocument.model_validate({**facts, "upload": upload}), status=201)


def complete(call: Call[Any], viewer: Viewer) -> Answer:
    """Look at what is stored, between two transactions, and write the verdict; what is not as announced is removed."""
    claim_id, document_id = call.ids["claim_id"], call.ids["document_id"]
    facts = call.read(service.read_document, claim_id, document_id, viewer)
    if facts["state"] == "pending":
        verdict = _verdict(call, facts)
        facts = call.once(service.judge, claim_id, document_id, viewer, verdict=verdict, actor=call.actor)
    if facts["state"] == "rejected":
        raise Refusal("document-mismatch")
    return answered(DocumentView.model_validate(facts))


def download(call: Call[Any], viewer: Viewer) -> Answer:
    """A link to an available document."""
    facts = call.read(service.read_document, call.ids["claim_id"], call.ids["document_id"], viewer)
    if facts["state"] != "available":
        raise Refusal("document-not-available")
    url = call.wiring.evidence.presign_download(
        key=facts["object_key"], file_name=facts["file_name"], content_type=facts["content_type"]
    )
    return answered(DownloadView(url=url, expires_at=call.wiring.clock() + LINK_LIFE))


def _verdict(call: Call[Any], facts: Row) -> str:
    key, evidence = facts["object_key"], call.wiring.evidence
    stored = evidence.head(key)
    if stored is None:
        raise Refusal("document-not-uploaded")
    announced = (facts["size"], facts["content_type"])
    if (stored.size, stored.content_type) == announced and looks_like(facts["content_type"], evidence.first_bytes(key)):
        return "available"
    evidence.delete(key)  # before the verdict: a crash in between leaves it pending, and the next try finds nothing
    return "rejected"
