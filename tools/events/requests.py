"""One request for each route of the API: who sends it, about which record of events/records.sql, and its body."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = Mapping[str, Any]


def make_record_id(number: int) -> str:
    """Return the id of a record of events/records.sql."""
    return f"00000000-0000-7000-8000-{number:012}"


ADMIN, STAFF, AGENT = make_record_id(1), make_record_id(2), make_record_id(3)
APPLICANT, AGENT_WITH_NEW_TERMS = make_record_id(4), make_record_id(5)
MEMBER, RENEWING, LEAVING, PAUSING, PAUSED, EDITED = map(make_record_id, range(11, 17))
COMMISSION, PAYOUT = make_record_id(21), make_record_id(31)
CLAIM, MOVED_CLAIM, ASSIGNED_CLAIM = map(make_record_id, range(41, 44))
UPLOADED, AVAILABLE, REMOVED = map(make_record_id, range(51, 54))
REPLAYED_JOB, DISMISSED_JOB = make_record_id(61), make_record_id(62)
HIGH_JOB, NORMAL_JOBS, LOW_JOBS = (
    make_record_id(63),
    (make_record_id(64), make_record_id(65)),
    (make_record_id(66), make_record_id(67)),
)

# The group of each caller's sign-in.
GROUPS = {ADMIN: "admin", STAFF: "staff", AGENT: "agent", MEMBER: "member"}


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """A request to one route; `caller` is an account, None for somebody without a token."""

    caller: str | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    body: JSON | None = None
    version: int | None = None  # of the record that If-Match names
    method: str = ""  # of a route for any method


CLAIM_ID = {"claim_id": CLAIM}

REQUESTS: dict[str, SampleRequest] = {
    "GET /health": SampleRequest(),
    "HEAD /health": SampleRequest(),
    "GET /health/deep": SampleRequest(),
    "HEAD /health/deep": SampleRequest(),
    "GET /openapi.json": SampleRequest(),
    "GET /docs": SampleRequest(),
    "GET /agents": SampleRequest(STAFF),
    "POST /agents": SampleRequest(
        body={
            "full_name": "Teuta Gashi",
            "email": "teuta@example.test",
            "phone": "+38344555112",
            "city": "Prishtinë",
            "language": "sq",
            "terms_version": "2026-01",
        }
    ),
    "GET /agents/me": SampleRequest(AGENT),
    "GET /agents/me/clients": SampleRequest(AGENT),
    "GET /agents/me/commissions": SampleRequest(AGENT),
    "GET /agents/me/statements": SampleRequest(AGENT),
    "GET /agents/{agent_id}": SampleRequest(STAFF, {"agent_id": AGENT}),
    "PATCH /agents/{agent_id}": SampleRequest(ADMIN, {"agent_id": AGENT_WITH_NEW_TERMS}, {"tier": "vip"}, version=1),
    "POST /agents/{agent_id}/decision": SampleRequest(
        STAFF, {"agent_id": APPLICANT}, {"decision": "approve", "reason": "References checked."}
    ),
    "GET /commissions": SampleRequest(STAFF),
    "POST /commissions/{commission_id}/decision": SampleRequest(
        STAFF, {"commission_id": COMMISSION}, {"decision": "approve", "reason": "The member has signed in."}
    ),
    "GET /payouts": SampleRequest(ADMIN),
    "POST /payouts": SampleRequest(ADMIN, body={"month": "2026-02"}),
    "GET /payouts/{payout_id}": SampleRequest(ADMIN, {"payout_id": PAYOUT}),
    "GET /members": SampleRequest(STAFF),
    "POST /members": SampleRequest(
        body={
            "full_name": "Ilir Krasniqi",
            "email": "ilir@example.test",
            "phone": "+38344123457",
            "country": "XK",
            "language": "sq",
            "plan": "family",
            "terms_version": "2026-01",
            "referral_code": "ARTA-E003",
        }
    ),
    "GET /members/me": SampleRequest(MEMBER),
    "PATCH /members/me": SampleRequest(MEMBER, body={"language": "en"}, version=1),
    "GET /members/{member_id}": SampleRequest(STAFF, {"member_id": MEMBER}),
    "PATCH /members/{member_id}": SampleRequest(STAFF, {"member_id": EDITED}, {"phone": "+38344123458"}, version=1),
    "POST /members/{member_id}/renewals": SampleRequest(STAFF, {"member_id": RENEWING}),
    "POST /members/{member_id}/cancellation": SampleRequest(STAFF, {"member_id": LEAVING}),
    "POST /members/{member_id}/pause": SampleRequest(STAFF, {"member_id": PAUSING}),
    "POST /members/{member_id}/resume": SampleRequest(STAFF, {"member_id": PAUSED}),
    "GET /claims": SampleRequest(STAFF),
    "POST /claims": SampleRequest(
        MEMBER,
        body={
            "category": "travel",
            "title": "Cancelled flight PRN-ZRH",
            "company_name": "Example Air",
            "description": "Cancelled two hours before departure. Nobody answered at the desk.",
            "incident_date": "2026-01-15",
            "incident_country": "CH",
            "amount": "250.00",
            "currency": "EUR",
        },
    ),
    "GET /claims/{claim_id}": SampleRequest(MEMBER, CLAIM_ID),
    "GET /claims/{claim_id}/history": SampleRequest(MEMBER, CLAIM_ID),
    "POST /claims/{claim_id}/transitions": SampleRequest(
        STAFF, {"claim_id": MOVED_CLAIM}, {"to": "verification", "reason": "Checking the boarding pass."}, version=1
    ),
    "PUT /claims/{claim_id}/assignee": SampleRequest(
        STAFF, {"claim_id": ASSIGNED_CLAIM}, {"staff_id": "me"}, version=1
    ),
    "GET /claims/{claim_id}/documents": SampleRequest(MEMBER, CLAIM_ID),
    "POST /claims/{claim_id}/documents": SampleRequest(
        MEMBER, CLAIM_ID, {"file_name": "ticket.txt", "content_type": "text/plain", "size": 14}
    ),
    "DELETE /claims/{claim_id}/documents/{document_id}": SampleRequest(MEMBER, {**CLAIM_ID, "document_id": REMOVED}),
    "POST /claims/{claim_id}/documents/{document_id}/completion": SampleRequest(
        MEMBER, {**CLAIM_ID, "document_id": UPLOADED}
    ),
    "GET /claims/{claim_id}/documents/{document_id}/download": SampleRequest(
        MEMBER, {**CLAIM_ID, "document_id": AVAILABLE}
    ),
    "GET /jobs": SampleRequest(ADMIN),
    "POST /jobs/{job_id}/replay": SampleRequest(ADMIN, {"job_id": REPLAYED_JOB}),
    "POST /jobs/{job_id}/dismiss": SampleRequest(ADMIN, {"job_id": DISMISSED_JOB}, {"reason": "not-needed"}),
    "ANY /": SampleRequest(method="GET"),
    "ANY /{proxy+}": SampleRequest(method="GET", ids={"proxy": "no/such/page"}),
}
# Methods of the routes for any other method, in the order of choice: one that the path doesn't serve, and gets 405.
WRONG_METHODS = ("PUT", "DELETE")
