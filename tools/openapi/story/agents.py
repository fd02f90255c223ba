"""Arta becomes an agent, and earns a commission for the member whom she brought in."""

from collections.abc import Mapping

from tools.openapi.story.ids import ADMIN, ARTA, BESA, COMMISSION, DRITA, PAYOUT
from tools.openapi.story.operation_example import JSON, PAGE_QUERY, OperationExample, make_page

APPLICATION: JSON = {
    "full_name": "Arta Krasniqi",
    "email": "arta@example.test",
    "phone": "+38344555111",
    "city": "Prishtinë",
    "language": "sq",
    "terms_version": "2026-01",
}
APPLICANT: JSON = {
    "id": ARTA,
    "state": "pending",
    **{name: value for name, value in APPLICATION.items() if name != "terms_version"},
    "tier": "standard",
    "referral_code": "ARTA-7K3F",
    "created_at": "2026-10-12T08:30:00Z",
    "version": 1,
}
APPROVAL: JSON = {"reason": "References checked.", "decided_by": DRITA, "decided_at": "2026-10-13T09:05:00Z"}
AGENT: JSON = {**APPLICANT, "state": "active", "version": 2, "commission_rate": None, "decision": APPROVAL}
HERSELF: JSON = {**AGENT, "decision": None}

EARNED: JSON = {
    "id": COMMISSION,
    "kind": "new",
    "state": "pending",
    "rate": "0.2000",
    "amount": "7.00",
    "currency": "EUR",
    "member_number": "MEM-2026-000123",
    "created_at": "2026-10-20T17:45:00Z",
}
COMMISSION_FOR_STAFF: JSON = {
    **{name: EARNED[name] for name in ("id", "kind", "state", "rate", "amount", "currency")},
    "earned_on": "2026-10-20",
    "period_starts_on": "2026-10-20",
    "agent": {"id": ARTA, "full_name": "Arta Krasniqi"},
    "member": {"id": BESA, "number": "MEM-2026-000123"},
    "decision": None,
    "statement_number": None,
    "created_at": "2026-10-20T17:45:00Z",
}
COMMISSION_DECISION: JSON = {"decision": "approve", "reason": "The member has signed in."}
APPROVED_COMMISSION: JSON = {
    **COMMISSION_FOR_STAFF,
    "state": "approved",
    "decision": {
        "reason": COMMISSION_DECISION["reason"],
        "decided_by": DRITA,
        "decided_at": "2026-11-05T10:20:00Z",
    },
}
STATEMENT: JSON = {
    "number": "PAY-2026-000012",
    "payout_id": PAYOUT,
    "month": "2026-10",
    "issued_on": "2026-11-06",
    "agent": {"id": ARTA, "full_name": "Arta Krasniqi"},
    "lines": [
        {
            "commission_id": COMMISSION,
            "kind": "new",
            "member_number": "MEM-2026-000123",
            "earned_on": "2026-10-20",
            "rate": "0.2000",
            "amount": "7.00",
        }
    ],
    "total": "7.00",
    "currency": "EUR",
}
PAYOUT_RUN: JSON = {
    "id": PAYOUT,
    "month": "2026-10",
    "statement_count": 1,
    "commission_count": 1,
    "total": "7.00",
    "currency": "EUR",
    "made_by": ADMIN,
    "created_at": "2026-11-06T09:00:00Z",
}
CLIENT: JSON = {
    "id": BESA,
    "number": "MEM-2026-000123",
    "full_name": "Besa Hoxha",
    "membership_state": "active",
    "membership_ends_on": "2027-10-19",
}

EXAMPLES: Mapping[str, OperationExample] = {
    "agents.create": OperationExample(bodies={"Arta applies": APPLICATION}, answer=APPLICANT),
    "agents.list": OperationExample(
        query={**PAGE_QUERY, "state": "active", "status": "active"}, answer=make_page(AGENT)
    ),
    "agents.get": OperationExample(answer=AGENT),
    "agents.get_own": OperationExample(answer=HERSELF),
    "agents.decide": OperationExample(
        bodies={"Approve the application": {"decision": "approve", "reason": APPROVAL["reason"]}}, answer=AGENT
    ),
    "agents.update": OperationExample(
        bodies={
            "Agree on a rate of her own": {"tier": "premium", "commission_rate": "0.25"},
            "Go back to the standard rates": {"commission_rate": None},
        },
        answer={**AGENT, "tier": "premium", "commission_rate": "0.2500", "version": 3},
    ),
    "agents.list_own_clients": OperationExample(query=PAGE_QUERY, answer=make_page(CLIENT)),
    "agents.list_own_commissions": OperationExample(query=PAGE_QUERY, answer=make_page(EARNED)),
    "agents.list_own_statements": OperationExample(query=PAGE_QUERY, answer=make_page(STATEMENT)),
    "commissions.list": OperationExample(
        query={**PAGE_QUERY, "state": "pending", "agent": ARTA, "month": "2026-10"},
        answer=make_page(COMMISSION_FOR_STAFF),
    ),
    "commissions.decide": OperationExample(
        bodies={"Approve the commission": COMMISSION_DECISION}, answer=APPROVED_COMMISSION
    ),
    "payouts.create": OperationExample(bodies={"Pay what October earned": {"month": "2026-10"}}, answer=PAYOUT_RUN),
    "payouts.list": OperationExample(query=PAGE_QUERY, answer=make_page(PAYOUT_RUN)),
    "payouts.get": OperationExample(answer={**PAYOUT_RUN, "statements": [STATEMENT]}),
}
