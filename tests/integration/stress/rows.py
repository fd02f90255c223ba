"""Rows as the system leaves them, inserted by SQL and complete, so that a test can take something away."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from stress.ledger import CallLedger, CallSample, PlannedCall
from stress.reconciliation import LINKED
from tests.databases import FreshDatabase

PRICE, NEW = "35.00", "7.00"


def make_id() -> str:
    """Return an id that nothing has."""
    return str(uuid.uuid4())


@dataclass
class RecordedSystem:
    """A database, its inbox, its queues, and the answers to clients; each `add` inserts rows and records the calls."""

    fresh_database: FreshDatabase
    ledger: CallLedger = field(default_factory=CallLedger)
    mails: list[dict[str, Any]] = field(default_factory=list)
    messages: dict[str, int] = field(default_factory=dict)
    has_queues: bool = True

    def run(self, query: str, *params: object) -> list[dict[str, Any]]:
        """Run one statement as the owner."""
        return self.fresh_database.query_rows(query, *params)

    def record_call(
        self, operation: str, status: int = 201, *, scenario: str = "claims", key: str | None = None, **given: Any
    ) -> str:
        """Record a call and its answer, and the key's row if it was done; return the key."""
        key, record = key or f"key-{make_id()}", given.pop("record", None)
        call = PlannedCall(operation, "POST", f"/{operation}", "127.20.0.1", key=key, **given)
        self.ledger.note(CallSample(scenario, call, 0, 0, 0, status, record=record))
        if status in (200, 201):
            self.run("INSERT INTO idempotency_keys VALUES ('scope', %s, 'print')", key)
        return key

    def add_account(self, role: str, email: str) -> str:
        """Add an account's row, and nothing else."""
        account = make_id()
        self.run("INSERT INTO accounts (id, role, email, full_name, language) VALUES (%s, %s, %s, 'X', 'sq')",
                 account, role, email)  # fmt: skip
        return account

    def add_effects(self, subject: str, action: str, *jobs: str) -> None:
        """An audit entry and jobs that are done, with the entry of each sign-in that was made."""
        for entry in (action, LINKED) if "identity" in jobs else (action,):
            self.run("INSERT INTO audit VALUES (%s, now(), %s, %s, 'us', 'request')", make_id(), entry, subject)
        for job in jobs:
            kind, payload = ("identity", "{}") if job == "identity" else ("mail", f'{{"template": "{job}"}}')
            self.run("INSERT INTO outbox (id, kind, priority, subject_id, payload, state) "
                     "VALUES (%s, %s, 'high', %s, %s, 'done')", make_id(), kind, subject, payload)  # fmt: skip

    def add_mail(self, *to: str, text: str = "") -> None:
        """A mail in the inbox."""
        self.mails.append({"to": list(to), "text": text})

    def add_agent(self, **call: Any) -> tuple[str, str]:
        """Add an agent who applied; return id and address."""
        email = f"arta.{make_id()}@example.test"
        agent = self.add_account("agent", email)
        self.run("INSERT INTO agents (id, city, referral_code) VALUES (%s, 'X', %s)", agent, f"ARTA-{agent}")
        self.add_effects(agent, "agent.applied", "agent-received")
        self.add_mail(email)
        self.record_call("apply", body={"email": email}, record={"id": agent}, **call)
        return agent, email

    def add_member(self, agent: str, **call: Any) -> tuple[str, str]:
        """Add a member of an agent's; return id and address."""
        email = f"besa.{make_id()}@example.test"
        member, subscription = self.add_account("member", email), make_id()
        self.run("INSERT INTO members (id, country, agent_id) VALUES (%s, 'XK', %s)", member, agent)
        self.run("INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, price, currency) "
                 "VALUES (%s, %s, 'family', 'active', now(), now() + interval '1 year', 35, 'EUR')",
                 subscription, member)  # fmt: skip
        self.run("INSERT INTO agent_clients VALUES (%s, %s)", member, agent)
        self.run("INSERT INTO commissions (id, agent_id, member_id, subscription_id, kind, period_starts_on, rate, "
                 "amount, currency) VALUES (%s, %s, %s, %s, 'new', now(), 0.2, 7, 'EUR')",
                 make_id(), agent, member, subscription)  # fmt: skip
        self.add_effects(member, "member.registered", "identity", "member-welcome")
        self.add_mail(email)
        self.record_call("register", body={"email": email}, record={"id": member}, facts={"agent": agent}, **call)
        return member, email

    def add_claim(self, member: str, email: str) -> str:
        """Add a claim of a member's that made one transition, with evidence; return its id."""
        claim, document = make_id(), make_id()
        self.run("INSERT INTO claims (id, member_id, category, title, company_name, description, incident_date, "
                 "incident_country, amount, currency) VALUES (%s, %s, 'travel', %s, 'X', 'X', now(), 'CH', 1, 'EUR')",
                 claim, member, f"Flight {claim}")  # fmt: skip
        self.run("UPDATE claims SET state = 'verification', version = 2 WHERE id = %s", claim)
        self.add_transition(claim, member, 1, None, "submitted")
        self.add_transition(claim, member, 2, "submitted", "verification")
        self.run("INSERT INTO documents (id, claim_id, slot, file_name, content_type, size, object_key, state) "
                 "VALUES (%s, %s, 1, 'x', 'text/plain', 39, %s, 'available')", document, claim, document)  # fmt: skip
        self.add_effects(claim, "claim.submitted", "claim-received", "staff-new-claim")
        self.add_effects(claim, "claim.transitioned", "claim-moved")
        self.add_mail(email)
        self.add_mail(email)
        self.add_mail("desk@interdomestik.test", text=f"New: {self.read_number(claim)}.")
        facts = {"claim": claim, "member": member}
        self.record_call("claim", body={"title": f"Flight {claim}"}, record={"id": claim}, facts={"member": member})
        self.record_call("move", 200, facts={"subject": claim, "member": member})
        self.record_call("announce", record={"id": document, "size": 39}, facts=facts)
        self.record_call("complete", 200, record={"id": document, "size": 39}, facts=facts)
        return claim

    def add_transition(self, claim: str, actor: str, version: int, before: str | None, after: str) -> None:
        """Add a transition to a claim's history."""
        self.run("INSERT INTO claim_history (claim_id, version, from_state, to_state, actor_role, actor_id) "
                 "VALUES (%s, %s, %s, %s, 'staff', %s)", claim, version, before, after, actor)  # fmt: skip

    def read_number(self, claim: str) -> str:
        """Return a claim's number."""
        return str(self.run("SELECT number FROM claims WHERE id = %s", claim)[0]["number"])
