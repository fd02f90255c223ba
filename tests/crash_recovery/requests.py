"""The requests that are killed: what each sends, which rows it may leave, and what it answers."""

import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel

from agents.model import AgentDetails, AgentView, CommissionDetails, PayoutSummary
from claims.model import ClaimView, DocumentView
from jobs_api.model import JobView
from members.model import MemberView
from tests.api_client import ADMIN, STAFF
from tests.crash_recovery.environment import CrashTestEnvironment
from tests.gateway_events import build_request_event
from tests.integration.function_client import sign_in
from tests.integration.jobs.records import RecordFixtures
from tests.sample_people import make_applicant, make_claim_body, make_person

_months = itertools.count()

PASS = b"Boarding pass\n"


@dataclass(frozen=True)
class PlannedRequest:
    """A request that has the same Idempotency-Key each time that it is sent."""

    function: str
    method: str
    resource: str
    body: Mapping[str, Any] | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, str] | None = None
    if_match: int | None = None
    key: str = field(default_factory=lambda: uuid4().hex)

    @property
    def handler(self) -> str:
        return f"{self.function}.app.handler"

    def build_event(self) -> dict[str, Any]:
        """Return the event as API Gateway hands it over, with a new request id each time."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": self.key}
        if self.if_match is not None:
            headers["If-Match"] = f'"{self.if_match}"'
        body = json.dumps(self.body) if self.body is not None else None
        return build_request_event(self.method, self.resource, body, ids=self.ids, headers=headers, claims=self.claims)


@dataclass(frozen=True)
class UseCase:
    """A use case: how a request of it is made, the view it answers with, and the rows it adds by table."""

    name: str
    make_request: Callable[["RequestRecords"], PlannedRequest]
    view: type[BaseModel] | None  # None: an answer without a body
    adds: Mapping[str, int]
    status: int = 200


@dataclass(frozen=True)
class RequestRecords:
    """Makes who and what a request needs to be there before."""

    environment: CrashTestEnvironment
    records: RecordFixtures

    @classmethod
    def make_in(cls, environment: CrashTestEnvironment) -> "RequestRecords":
        return cls(environment, RecordFixtures(environment.fresh_database))

    def add_member(self) -> tuple[UUID, dict[str, str]]:
        """Add a member; return the claims of their token."""
        member = self.records.add_member()
        return member, sign_in(self.environment.fresh_database, str(member))

    def add_staff(self) -> dict[str, str]:
        """Add a staff member; return the claims of their token."""
        return sign_in(self.environment.fresh_database, str(self.records.add_account("staff")))

    def add_uploaded(self, claim: UUID) -> UUID:
        """Add a document whose file is in the bucket, not completed yet."""
        document = uuid4()
        key = f"uploads/{claim}/{document}"
        self.environment.fresh_database.query_rows(
            "INSERT INTO documents (id, claim_id, slot, file_name, content_type, size, object_key)"
            " VALUES (%s, %s, 1, 'pass.txt', 'text/plain', %s, %s)",
            document, claim, len(PASS), key,
        )  # fmt: skip
        bucket = self.environment.environment["EVIDENCE_BUCKET"]
        self.environment.make_client("s3").put_object(Bucket=bucket, Key=key, Body=PASS, ContentType="text/plain")
        return document


def _apply(_records: RequestRecords) -> PlannedRequest:
    return PlannedRequest("agents", "POST", "/agents", make_applicant())


def _decide(records: RequestRecords) -> PlannedRequest:
    body = {"decision": "approve", "reason": "All in order."}
    ids = {"agent_id": str(records.records.add_agent())}
    return PlannedRequest("agents", "POST", "/agents/{agent_id}/decision", body, ids, STAFF)


def _apply_again(records: RequestRecords) -> PlannedRequest:
    agent = records.records.add_agent()
    rejected = "UPDATE agents SET state = 'rejected', decided_at = now() - interval '31 days' WHERE id = %s"
    records.environment.fresh_database.query_rows(rejected, agent)
    [account] = records.environment.fresh_database.query_rows("SELECT email FROM accounts WHERE id = %s", agent)
    return PlannedRequest("agents", "POST", "/agents", make_applicant(email=account["email"]))


def _change_terms(records: RequestRecords) -> PlannedRequest:
    ids = {"agent_id": str(records.records.add_agent())}
    return PlannedRequest("agents", "PATCH", "/agents/{agent_id}", {"commission_rate": "0.25"}, ids, ADMIN, 1)


def _approve_commission(records: RequestRecords) -> PlannedRequest:
    body = {"decision": "approve", "reason": "As agreed."}
    ids = {"commission_id": str(records.records.add_commission())}
    return PlannedRequest("agents", "POST", "/commissions/{commission_id}/decision", body, ids, records.add_staff())


def _void_commission(records: RequestRecords) -> PlannedRequest:
    body = {"decision": "void", "reason": "Registered by mistake."}
    ids = {"commission_id": str(records.records.add_commission())}
    return PlannedRequest("agents", "POST", "/commissions/{commission_id}/decision", body, ids, records.add_staff())


def _run_payout(records: RequestRecords) -> PlannedRequest:
    # A month of its own, long before any commission was earned: what each other run pays stands in test_money.py.
    years, month = divmod(next(_months), 12)
    admin = sign_in(records.environment.fresh_database, str(records.records.add_account("admin")))
    return PlannedRequest("agents", "POST", "/payouts", {"month": f"20{years:02}-{month + 1:02}"}, claims=admin)


def _register(_records: RequestRecords) -> PlannedRequest:
    return PlannedRequest("members", "POST", "/members", make_person())


def _renew(records: RequestRecords) -> PlannedRequest:
    member, token = records.add_member()
    return PlannedRequest("members", "POST", "/members/{member_id}/renewals", None, {"member_id": str(member)}, token)


def _cancel(records: RequestRecords) -> PlannedRequest:
    member, token = records.add_member()
    return PlannedRequest(
        "members", "POST", "/members/{member_id}/cancellation", None, {"member_id": str(member)}, token
    )


def _pause(records: RequestRecords) -> PlannedRequest:
    ids = {"member_id": str(records.records.add_member())}
    return PlannedRequest("members", "POST", "/members/{member_id}/pause", None, ids, records.add_staff())


def _resume(records: RequestRecords) -> PlannedRequest:
    ids = {"member_id": str(records.records.add_member(paused_on="2026-11-20", state="paused"))}
    return PlannedRequest("members", "POST", "/members/{member_id}/resume", None, ids, records.add_staff())


def _submit(records: RequestRecords) -> PlannedRequest:
    return PlannedRequest("claims", "POST", "/claims", make_claim_body(), claims=records.add_member()[1])


def _change_state(records: RequestRecords) -> PlannedRequest:
    claim = records.records.add_claim(records.add_member()[0])
    body = {"to": "verification", "reason": "Checked."}
    return PlannedRequest(
        "claims", "POST", "/claims/{claim_id}/transitions", body, {"claim_id": str(claim)}, records.add_staff(), 1
    )


def _assign(records: RequestRecords) -> PlannedRequest:
    claim = records.records.add_claim(records.add_member()[0])
    return PlannedRequest(
        "claims",
        "PUT",
        "/claims/{claim_id}/assignee",
        {"staff_id": "me"},
        {"claim_id": str(claim)},
        records.add_staff(),
        1,
    )


def _unassign(records: RequestRecords) -> PlannedRequest:
    assignee = records.records.add_account("staff")
    claim = records.records.add_claim(records.add_member()[0], assignee_id=assignee)
    body, ids = {"staff_id": None}, {"claim_id": str(claim)}
    return PlannedRequest("claims", "PUT", "/claims/{claim_id}/assignee", body, ids, records.add_staff(), 1)


def _announce(records: RequestRecords) -> PlannedRequest:
    member, token = records.add_member()
    body = {"file_name": "pass.txt", "content_type": "text/plain", "size": len(PASS)}
    ids = {"claim_id": str(records.records.add_claim(member))}
    return PlannedRequest("claims", "POST", "/claims/{claim_id}/documents", body, ids, token)


def _complete(records: RequestRecords) -> PlannedRequest:
    member, token = records.add_member()
    claim = records.records.add_claim(member)
    ids = {"claim_id": str(claim), "document_id": str(records.add_uploaded(claim))}
    return PlannedRequest("claims", "POST", "/claims/{claim_id}/documents/{document_id}/completion", None, ids, token)


def _remove_document(records: RequestRecords) -> PlannedRequest:
    announced = _complete(records)
    return replace(announced, method="DELETE", resource="/claims/{claim_id}/documents/{document_id}")


def _add_failed_job(records: RequestRecords) -> dict[str, str]:
    member = records.records.add_member()
    return {"job_id": str(records.records.add_mail("member-welcome", member, to=member, state="failed"))}


def _add_admin(records: RequestRecords) -> dict[str, str]:
    return sign_in(records.environment.fresh_database, str(records.records.add_account("admin")))


def _replay(records: RequestRecords) -> PlannedRequest:
    return PlannedRequest(
        "jobs_api", "POST", "/jobs/{job_id}/replay", None, _add_failed_job(records), _add_admin(records)
    )


def _dismiss(records: RequestRecords) -> PlannedRequest:
    body = {"reason": "undeliverable"}
    return PlannedRequest(
        "jobs_api", "POST", "/jobs/{job_id}/dismiss", body, _add_failed_job(records), _add_admin(records)
    )


ONE = {"audit": 1, "idempotency_keys": 1}

USE_CASES = (
    UseCase("agents.apply", _apply, AgentView, ONE | {"accounts": 1, "agents": 1, "greetings": 1, "outbox": 1}, 201),
    UseCase("agents.apply_again", _apply_again, AgentView, ONE | {"greetings": 1, "outbox": 1}, 201),
    UseCase("agents.decide", _decide, AgentDetails, ONE | {"outbox": 2}),
    UseCase("agents.change_terms", _change_terms, AgentDetails, ONE),
    UseCase("commissions.approve", _approve_commission, CommissionDetails, ONE),
    UseCase("commissions.void", _void_commission, CommissionDetails, ONE),
    UseCase("payouts.make", _run_payout, PayoutSummary, ONE | {"payouts": 1}, 201),
    UseCase(
        "members.register",
        _register,
        MemberView,
        ONE | {"accounts": 1, "member_search": 1, "members": 1, "subscriptions": 1, "greetings": 1, "outbox": 2},
        201,
    ),
    UseCase("members.renew", _renew, MemberView, ONE | {"outbox": 1}, 201),
    UseCase("members.cancel", _cancel, MemberView, ONE | {"outbox": 1}),
    UseCase("members.pause", _pause, MemberView, ONE),
    UseCase("members.resume", _resume, MemberView, ONE),
    UseCase("claims.submit", _submit, ClaimView, ONE | {"claims": 1, "claim_history": 1, "outbox": 2}, 201),
    UseCase("claims.move", _change_state, ClaimView, ONE | {"claim_history": 1, "outbox": 1}),
    UseCase("claims.assign", _assign, ClaimView, ONE),
    UseCase("claims.unassign", _unassign, ClaimView, ONE),
    UseCase("documents.announce", _announce, DocumentView, ONE | {"documents": 1}, 201),
    UseCase("documents.complete", _complete, DocumentView, ONE),
    UseCase("documents.remove", _remove_document, None, ONE, 204),
    UseCase("jobs.replay", _replay, JobView, ONE),
    UseCase("jobs.dismiss", _dismiss, JobView, ONE),
)

# What differs between two records that were made alike.
_OWN = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\b(MEM|CLM)-\d{4}-\d{6}"), "<number>"),
    (re.compile(r'"month":"\d{4}-\d\d"'), '"month":"<month>"'),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)"), "<time>"),
    (re.compile(r"[a-z]+\.?[0-9a-f]*@example\.test"), "<address>"),
    (re.compile(r"Person <\d+>"), "<name>"),
    (re.compile(r'"age_s":[\d.]+'), '"age_s":<age>'),
    (re.compile(r"ARTA-[0-9A-Z]{4,}"), "<code>"),
    (re.compile(r'"(policy|x-amz-signature|x-amz-date|x-amz-credential)":"[^"]*"'), r'"\1":"<signed>"'),
)
_COMPARED_HEADERS = ("Content-Type", "ETag", "Location", "Cache-Control")


def strip_own_values(answer: Mapping[str, Any]) -> tuple[int, dict[str, str | None], str]:
    """Return an answer without what only its own record has: two of one use case are then the same, byte for byte."""
    headers = {name: answer["headers"].get(name) for name in _COMPARED_HEADERS}
    return (
        answer["statusCode"],
        {k: v and _replace_own_values(v) for k, v in headers.items()},
        _replace_own_values(answer["body"]),
    )


def _replace_own_values(text: str) -> str:
    for own, stand_in in _OWN:
        text = own.sub(stand_in, text)
    return text


def read_stored_facts(environment: CrashTestEnvironment, request: PlannedRequest) -> Any:
    """Return the facts that the key's row keeps of the answer; None if nothing was committed."""
    rows = environment.fresh_database.query_rows("SELECT answer FROM idempotency_keys WHERE key = %s", request.key)
    return rows[0]["answer"] if rows else None


def render_body(use_case: UseCase, facts: Any) -> str:
    """Return the body that these facts are answered with."""
    return use_case.view.model_validate(facts).model_dump_json(by_alias=True) if use_case.view else ""


def read_body(answer: Mapping[str, Any]) -> str:
    """Return the answer's body, without the upload form, which is signed anew for each answer."""
    record: dict[str, Any] = json.loads(answer["body"] or "{}")
    if "upload" not in record:
        return str(answer["body"])
    return str(answer["body"])[: str(answer["body"]).index(',"upload":')] + "}"
