"""One caller of each kind, and a new record of each kind for every call."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from agents.app import api as agents_api
from claims.app import api as claims_api
from jobs_api.app import api as jobs_api
from members.app import api as members_api
from shared.ids import make_uuid7
from tests.api_client import ApiClient, make_claims
from tests.databases import FreshDatabase
from tests.fakes.documents import FakeDocumentStore
from tests.integration.function_client import make_client

APIS = (agents_api, members_api, claims_api, jobs_api)
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 592

# Role, and the state of an agent.
PEOPLE: dict[str, tuple[str, str]] = {
    "member": ("member", ""),
    "other": ("member", ""),
    "agent": ("agent", "active"),
    "rival": ("agent", "active"),
    "pending": ("agent", "pending"),
    "suspended": ("agent", "suspended"),
    "rejected": ("agent", "rejected"),
    "staff": ("staff", ""),
    "admin": ("admin", ""),
    "removed": ("former", ""),  # their token still says that they are an admin
}


@dataclass
class CallerFixtures:
    """Everybody, by name; `nobody` has no token."""

    connection: psycopg.Connection[Any]
    clients: dict[Any, ApiClient]
    evidence: FakeDocumentStore
    ids: dict[str, UUID] = field(default_factory=lambda: {name: make_uuid7() for name in PEOPLE})
    payout: UUID = field(default_factory=make_uuid7)
    _serial: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    @contextmanager
    def make_in(cls, fresh_database: FreshDatabase) -> "Iterator[CallerFixtures]":
        """Write them into a database; its triggers and foreign keys are off for what is written here."""
        evidence = FakeDocumentStore()
        conninfo = fresh_database.postgres.build_conninfo(user="postgres", dbname=fresh_database.name)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            everybody = cls(
                connection, {api: make_client(api, fresh_database, document_store=evidence) for api in APIS}, evidence
            )
            everybody._write()
            yield everybody

    def call(self, caller: str, operation: str, whose: str, body: Any) -> int:
        """Call the operation on a record that was made for it; return the status."""
        method, resource = operation.split()
        [api] = [api for api in APIS if (method, resource) in api.operations]
        ids: dict[str, Any] = {} if whose == "all" else self._record(resource, caller, whose)
        self._reset()
        client = self.clients[api]
        claims = self._make_token_claims(caller)
        # Where a token is optional the handler verifies it: what it says is the same.
        client.container.__dict__["_verifier"] = lambda _token: claims
        headers = {"Authorization": f"Bearer {caller}"} if claims else {}
        key = f"key-{next(self._serial)}" if method != "GET" else None
        if_match = "*" if method == "PATCH" or resource.endswith(("/transitions", "/assignee")) else None
        signed_in = client.sign_in_as(claims)
        reply = signed_in.call(method, resource, body, key=key, if_match=if_match, headers=headers, **ids)
        return reply.status

    def _make_token_claims(self, caller: str) -> dict[str, str] | None:
        if caller == "nobody":
            return None
        role = PEOPLE[caller][0]
        return make_claims(f"sub-{self.ids[caller]}", "admin" if role == "former" else role)

    def _record(self, resource: str, caller: str, whose: str) -> dict[str, str]:
        """Return the path's ids: of a new record of its owner's, or ids that nobody has."""
        names = [part[1:-1] for part in resource.split("/") if part.startswith("{")]
        if whose == "missing":
            return {name: str(make_uuid7()) for name in names}
        kinds = {"agent_id": "agent", "commission_id": "agent", "member_id": "member", "claim_id": "member"}
        owner = self.ids[caller if whose == "own" else kinds.get(names[0], "member")]
        ids = {names[0]: self._make(names[0], owner)}
        if "document_id" in names:
            ids["document_id"] = self._add_document(ids["claim_id"], available=resource.endswith("/download"))
        return {name: str(value) for name, value in ids.items()}

    def _make(self, name: str, owner: UUID) -> UUID:
        if name in ("agent_id", "member_id"):
            return owner
        if name == "payout_id":
            return self.payout
        make = {"claim_id": self._claim, "commission_id": self._add_commission, "job_id": self._add_job}[name]
        made: UUID = make(owner)
        return made

    def _write(self) -> None:
        for name, (role, state) in PEOPLE.items():
            self._insert(
                "accounts", id=self.ids[name], role=role, identity_sub=f"sub-{self.ids[name]}", language="sq",
                email=f"the-{name}@example.test", full_name="Besa Hoxha", phone="+38344123456", proven_at="2026-01-01",
            )  # fmt: skip
            if role == "agent":
                self._insert("agents", id=self.ids[name], state=state, city="Prizren", referral_code=name.upper())
            if role == "member":
                self._add_member(self.ids[name])
        self._insert("payouts", id=self.payout, month="2026-01-01", made_by=self.ids["admin"])

    def _add_member(self, member: UUID) -> None:
        self._insert("members", id=member, number=f"MEM-{member}", country="XK", agent_id=self.ids["agent"])
        self._insert("agent_clients", member_id=member, agent_id=self.ids["agent"])
        days = dict.fromkeys(("starts_on", "anchor_on", "period_starts_on", "renewed_on"), "2026-02-01")
        self._insert(
            "subscriptions", id=make_uuid7(), member_id=member, plan="family", state="active", ends_on="2027-01-31",
            price=35, currency="EUR", **days,
        )  # fmt: skip

    def _reset(self) -> None:
        """Everybody as they were at first: what a call before has changed."""
        self.connection.execute(
            "UPDATE subscriptions SET state = 'active', cancel_at_period_end = false, paused_on = NULL,"
            " paused_days = 0, starts_on = '2026-02-01', anchor_on = '2026-02-01', period_starts_on = '2026-02-01',"
            " renewed_on = '2026-02-01', ends_on = '2027-01-31'"
        )
        self.connection.execute("DELETE FROM commissions WHERE kind = 'renewal'")
        for name, (role, state) in PEOPLE.items():
            if role == "agent":
                self.connection.execute("UPDATE agents SET state = %s WHERE id = %s", (state, self.ids[name]))

    def _claim(self, member: UUID) -> UUID:
        claim = make_uuid7()
        self._insert(
            "claims", id=claim, number=f"CLM-{claim}", member_id=member, category="travel", title="Late flight",
            company_name="Air", description="It never came.", incident_date="2026-01-01", incident_country="CH",
            amount=1, currency="EUR",
        )  # fmt: skip
        self._insert(
            "claim_history", claim_id=claim, version=1, to_state="submitted", actor_role="member", actor_id=member
        )
        return claim

    def _add_document(self, claim: UUID, *, available: bool) -> UUID:
        document = make_uuid7()
        key = f"uploads/{claim}/{document}"
        self._insert(
            "documents", id=document, claim_id=claim, slot=1, file_name="a.png", content_type="image/png",
            size=len(PNG), object_key=key, state="available" if available else "pending",
        )  # fmt: skip
        self.evidence.put(key, PNG, "image/png")
        return document

    def _add_commission(self, agent: UUID) -> UUID:
        commission = make_uuid7()
        self._insert(
            "commissions", id=commission, agent_id=agent, member_id=self.ids["member"], subscription_id=make_uuid7(),
            kind="new", period_starts_on="2026-02-01", earned_on="2026-02-01", rate="0.2", amount="7", currency="EUR",
        )  # fmt: skip
        return commission

    def _add_job(self, _owner: UUID) -> UUID:
        job = make_uuid7()
        self._insert("outbox", id=job, kind="mail", priority="low", subject_id=job, payload="{}", state="failed")
        return job

    def _insert(self, table: str, **columns: object) -> None:
        places = ", ".join(f"%({name})s" for name in columns)
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
        self.connection.execute(statement.encode(), columns)
