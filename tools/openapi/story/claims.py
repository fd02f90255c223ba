"""Besa's flight was cancelled: she files a claim with her boarding pass, and Drita of the staff takes it on."""

from collections.abc import Mapping

from tools.openapi.story.ids import BESA, CLAIM, DOCUMENT, DRITA
from tools.openapi.story.operation_example import JSON, PAGE_QUERY, OperationExample, make_page

NEW_CLAIM: JSON = {
    "category": "travel",
    "title": "Cancelled flight PRN-ZRH",
    "company_name": "Example Air",
    "description": "Cancelled two hours before departure. Nobody answered at the desk.",
    "incident_date": "2026-11-02",
    "incident_country": "CH",
    "amount": "250.00",
    "currency": "EUR",
}
SUBMITTED: JSON = {
    "id": CLAIM,
    "number": "CLM-2026-000045",
    "state": "submitted",
    **NEW_CLAIM,
    "assignee": None,
    "member": None,
    "created_at": "2026-11-03T07:12:00Z",
    "updated_at": "2026-11-03T07:12:00Z",
    "version": 1,
}
CHECKED: JSON = {"to": "verification", "reason": "Checking the boarding pass."}
REJECTED: JSON = {
    "to": "rejected",
    "reason": "The airline had announced it three weeks before.",
    "decline_code": "not_covered",
}
IN_VERIFICATION: JSON = {
    **SUBMITTED,
    "state": "verification",
    "updated_at": "2026-11-03T09:00:00Z",
    "version": 2,
}
CLAIMANT: JSON = {"id": BESA, "number": "MEM-2026-000123", "full_name": "Besa Hoxha"}
FOR_STAFF: JSON = {**IN_VERIFICATION, "member": CLAIMANT}
ASSIGNED: JSON = {
    **FOR_STAFF,
    "assignee": {"id": DRITA, "full_name": "Drita Berisha"},
    "updated_at": "2026-11-03T09:02:00Z",
    "version": 3,
}
SUBMISSION: JSON = {
    "version": 1,
    "from": None,
    "to": "submitted",
    "reason": None,
    "decline_code": None,
    "by": "member",
    "at": "2026-11-03T07:12:00Z",
}
VERIFICATION: JSON = {
    "version": 2,
    "from": "submitted",
    "to": "verification",
    "reason": CHECKED["reason"],
    "decline_code": None,
    "by": "staff",
    "at": "2026-11-03T09:00:00Z",
}

ANNOUNCEMENT: JSON = {"file_name": "boarding-pass.txt", "content_type": "text/plain", "size": 39}
ANNOUNCED: JSON = {
    "id": DOCUMENT,
    "claim_id": CLAIM,
    **ANNOUNCEMENT,
    "state": "pending",
    "created_at": "2026-11-03T07:15:00Z",
    "updated_at": "2026-11-03T07:15:00Z",
}
AVAILABLE: JSON = {**ANNOUNCED, "state": "available", "updated_at": "2026-11-03T07:15:20Z"}
BUCKET = "https://example-documents.s3.eu-central-1.amazonaws.com/"
UPLOAD: JSON = {
    "url": BUCKET,
    "fields": {
        "Content-Type": "text/plain",
        "key": f"uploads/{CLAIM}/{DOCUMENT}",
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": "EXAMPLE/20261103/eu-central-1/s3/aws4_request",
        "x-amz-date": "20261103T071500Z",
        "policy": "eyJleHBpcmF0aW9uIjogIjIwMjYtMTEtMDNUMDc6MzA6MDBaIn0=",
        "x-amz-signature": "5d1f0c8f5b0e4d53a6f3c0c7a9b14c2e6b7a3d9f8e2c1b0a4f5e6d7c8b9a0f1e",
    },
}
LINK: JSON = {
    "url": f"{BUCKET}documents/{CLAIM}/{DOCUMENT}?X-Amz-Expires=300&X-Amz-Signature=5d1f0c8f5b0e4d53",
    "expires_at": "2026-11-03T09:06:00Z",
}

EXAMPLES: Mapping[str, OperationExample] = {
    "claims.create": OperationExample(bodies={"Besa's flight was cancelled": NEW_CLAIM}, answer=SUBMITTED),
    "claims.list": OperationExample(
        query={
            **PAGE_QUERY,
            "number": "CLM-2026-000045",
            "member_id": BESA,
            "state": "verification",
            "assignee": "me",
            "stuck": False,
        },
        answer=make_page(ASSIGNED),
    ),
    "claims.get": OperationExample(answer=ASSIGNED),
    "claims.list_history": OperationExample(
        query=PAGE_QUERY, answer={"items": [VERIFICATION, SUBMISSION], "next_cursor": None}
    ),
    "claims.transition": OperationExample(
        bodies={"Check the boarding pass": CHECKED, "Reject the claim": REJECTED}, answer=FOR_STAFF
    ),
    "claims.assign": OperationExample(
        bodies={
            "Take it on yourself": {"staff_id": "me"},
            "Give it to Drita": {"staff_id": DRITA},
            "Take it from its assignee": {"staff_id": None},
        },
        answer=ASSIGNED,
    ),
    "documents.create": OperationExample(
        bodies={"Announce the boarding pass": ANNOUNCEMENT}, answer={**ANNOUNCED, "upload": UPLOAD}
    ),
    "documents.complete": OperationExample(answer=AVAILABLE),
    "documents.list": OperationExample(query=PAGE_QUERY, answer=make_page(AVAILABLE)),
    "documents.download": OperationExample(answer=LINK),
    "documents.delete": OperationExample(),
}
