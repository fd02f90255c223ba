"""A sample system: a member with two claims, an agent, and all the effects of their calls."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from stress.ledger import CallSample
from stress.model import Difference
from stress.reconciliation import LINKED, ClaimReconciler, PersonReconciler, ReconciliationLog
from tests.stress.calls import make_call, make_sample

AGENT, MEMBER, CLAIM, EVIDENCE = "agent-1", "member-1", "claim-1", "document-1"
ARTA, BESA = "arta@example.test", "besa@example.test"
NUMBER, TITLE = "CLM-2026-000001", "Cancelled flight 1"
OF_MEMBER, OF_CLAIM = {"subject": MEMBER}, {"subject": CLAIM, "member": MEMBER}
OF_EVIDENCE = {"claim": CLAIM, "member": MEMBER}

APPLY = make_call("apply", body={"email": ARTA})
REGISTER = make_call("register", body={"email": BESA}, facts={"agent": AGENT})
RENEW = make_call("renew", facts=OF_MEMBER)
FILE = make_call("claim", body={"title": TITLE}, facts={"member": MEMBER})
MOVE = make_call("move", facts=OF_CLAIM)
ANNOUNCE = make_call("announce", body={"size": 39}, facts=OF_EVIDENCE)
COMPLETE = make_call("complete", path=f"/claims/{CLAIM}/documents/{EVIDENCE}/completion", facts=OF_EVIDENCE)


def make_samples() -> list[CallSample]:
    """Return the answers: all accepted."""
    return [
        make_sample(APPLY, id=AGENT),
        make_sample(make_call("approve", facts={"subject": AGENT}), 200),
        make_sample(REGISTER, id=MEMBER),
        make_sample(RENEW, 200),
        make_sample(make_call("edit", facts=OF_MEMBER), 200),
        make_sample(FILE, id=CLAIM),
        make_sample(MOVE, 200),
        make_sample(ANNOUNCE, id=EVIDENCE, size=39),
        make_sample(COMPLETE, 200, id=EVIDENCE, size=39),
    ]


def make_agent_row() -> dict[str, Any]:
    """Return a row as the query `people` gives it."""
    return {
        "id": AGENT, "email": ARTA, "role": "agent", "members": 0, "agents": 1, "subscriptions": 0, "price": None,
        "agent": None, "commissions": [], "voided": [0, 0],
        "audit": {"agent.applied": 1, "agent.approved": 1, LINKED: 1},
        "jobs": {"identity done": 1, "agent-received done": 1, "agent-approved done": 1},
    }  # fmt: skip


def make_member_row() -> dict[str, Any]:
    """Return a row as the query `people` gives it."""
    return {
        "id": MEMBER, "email": BESA, "role": "member", "members": 1, "agents": 0, "subscriptions": 1, "price": "35.00",
        "agent": AGENT, "commissions": ["new 7.00", "renewal 3.50"], "voided": [0, 0],
        "audit": {"member.registered": 1, LINKED: 1, "membership.renewed": 1, "member.contact_changed": 1},
        "jobs": {"identity done": 1, "member-welcome done": 1, "membership-renewed done": 1},
    }  # fmt: skip


def make_claim_row() -> dict[str, Any]:
    """Return a row as the query `claims` gives it."""
    return {
        "id": CLAIM, "number": NUMBER, "member": MEMBER, "title": TITLE, "state": "verification", "version": 2,
        "steps": 2, "broken": 0, "last_state": "verification",
        "audit": {"claim.submitted": 1, "claim.transitioned": 1, "document.announced": 1},
        "jobs": {"claim-received done": 1, "staff-new-claim done": 1, "claim-moved done": 1},
        "documents": {EVIDENCE: "available 39"},
    }  # fmt: skip


@dataclass
class SampleSystem:
    """The answers to clients, and what is there; a test changes either."""

    samples: list[CallSample] = field(default_factory=make_samples)
    people: list[dict[str, Any]] = field(default_factory=lambda: [make_agent_row(), make_member_row()])
    claims: list[dict[str, Any]] = field(default_factory=lambda: [make_claim_row()])
    inbox: Counter[str] = field(default_factory=lambda: Counter({ARTA: 2, BESA: 4}))
    desk: Counter[str] = field(default_factory=lambda: Counter({NUMBER: 1}))

    @property
    def agent(self) -> dict[str, Any]:
        """The agent's row."""
        return self.people[0]

    @property
    def member(self) -> dict[str, Any]:
        """The member's row."""
        return self.people[1]

    @property
    def claim(self) -> dict[str, Any]:
        """Its row."""
        return self.claims[0]

    def change_answer(self, operation: str, status: int, problem: str = "") -> None:
        """Have the first call of an operation answered otherwise."""
        at, old = next((n, s) for n, s in enumerate(self.samples) if s.call.operation == operation)
        self.samples[at] = make_sample(old.call, status, problem=problem)

    def drop_calls(self, *operations: str) -> None:
        """Remove such calls, as if they had not been made."""
        self.samples = [s for s in self.samples if s.call.operation not in operations]

    def reconcile(self) -> ReconciliationLog:
        """Return all of it, compared."""
        log = ReconciliationLog()
        attempts: dict[str, list[CallSample]] = {}
        for sample in self.samples:
            if sample.call.operation in ("apply", "register"):
                attempts.setdefault((sample.call.body or {})["email"], []).append(sample)
        PersonReconciler(log, self.samples, self.inbox).compare(attempts, deepcopy(self.people))
        ClaimReconciler(log, self.samples, self.desk).compare([MEMBER], deepcopy(self.claims))
        return log

    def list_differences(self) -> list[Difference]:
        """Return what the reconciliation found."""
        return self.reconcile().differences

    def list_kinds(self) -> set[str]:
        """Return the kinds of what it found."""
        return {each.what for each in self.list_differences()}
