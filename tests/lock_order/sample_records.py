"""Sample records with which every use case that writes has work to do, and several share rows."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import psycopg

from shared.clock import convert_to_local_date, read_utc_now
from shared.ids import make_uuid7
from shared.settings import Settings
from tests.databases import FreshDatabase
from tests.fakes.documents import FakeDocumentStore
from tests.fakes.identities import FakeIdentityProvider

# In the order in which transactions take rows: the key first, then as the domain says.
ORDER = (
    "idempotency_keys", "accounts", "agents", "members", "member_search", "subscriptions", "membership_reminders",
    "agent_clients", "commissions", "payouts", "payout_statements", "claims", "claim_history", "documents", "greetings",
    "outbox", "audit",
)  # fmt: skip

# How many rows a housekeeping task finds: enough to be locked in different orders.
SEVERAL = 4
NOT_AN_IMAGE = b"It says that it is an image."

Insert = Callable[..., None]


@dataclass
class SampleRecords:
    """The ids of the sample people and records; `email` is free, and the first to register with it gets it."""

    agent: UUID = field(default_factory=make_uuid7)
    applicant: UUID = field(default_factory=make_uuid7)
    rejected: UUID = field(default_factory=make_uuid7)  # long enough ago to apply again
    member: UUID = field(default_factory=make_uuid7)  # has an identity, a claim and a document
    newcomer: UUID = field(default_factory=make_uuid7)  # waits for an identity
    lapsed: list[UUID] = field(default_factory=lambda: [make_uuid7() for _ in range(SEVERAL)])
    commission: UUID = field(default_factory=make_uuid7)  # the agent's, by the member
    approved: list[UUID] = field(
        default_factory=lambda: [make_uuid7() for _ in range(SEVERAL)]
    )  # commissions, to be paid
    paused: UUID = field(default_factory=make_uuid7)
    staff: UUID = field(default_factory=make_uuid7)
    admin: UUID = field(default_factory=make_uuid7)
    colleague: UUID = field(default_factory=make_uuid7)
    claims: list[UUID] = field(
        default_factory=lambda: [make_uuid7() for _ in range(SEVERAL)]
    )  # the first is the member's
    document: UUID = field(default_factory=make_uuid7)
    stale: list[UUID] = field(default_factory=lambda: [make_uuid7() for _ in range(SEVERAL)])
    failed_job: UUID = field(default_factory=make_uuid7)
    mail_job: UUID = field(default_factory=make_uuid7)
    identity_job: UUID = field(default_factory=make_uuid7)
    reminder_job: UUID = field(default_factory=make_uuid7)  # of the member's period
    identities: FakeIdentityProvider = field(default_factory=FakeIdentityProvider)
    email: str = field(default_factory=lambda: f"new.{make_uuid7()}@example.test")
    code: str = "ARTA-7K3F"

    def name_ids(self) -> dict[str, str]:
        """Name each id; the names are the same in every set of sample records."""
        found: dict[str, str] = {}
        for name, value in vars(self).items():
            for n, one in enumerate(value if isinstance(value, list) else [value]):
                found[str(one)] = f"{name} {n}"
        return found

    @property
    def claim(self) -> UUID:
        """The claim that changes state, is assigned and given evidence."""
        return self.claims[0]


def write_sample_records(
    fresh_database: FreshDatabase, evidence: FakeDocumentStore, order: random.Random
) -> SampleRecords:
    """Clear the database and write new sample records, rows of a kind in no order of their ids."""
    records = SampleRecords()
    conninfo = fresh_database.postgres.build_conninfo(user="postgres", dbname=fresh_database.name)
    with psycopg.connect(conninfo) as connection, connection.pipeline():
        # Without triggers: history can be cleared, and a claim begins in any state.
        connection.execute("SET session_replication_role = replica")
        for table in ORDER:
            connection.execute(f"DELETE FROM {table}".encode())
        _write(records, lambda table, **columns: _insert(connection, table, columns), order)
    evidence.objects.clear()
    for document in (records.document, *records.stale):
        evidence.put(f"uploads/{records.claim}/{document}", NOT_AN_IMAGE, "image/png")
    return records


def _insert(connection: psycopg.Connection[Any], table: str, columns: dict[str, object]) -> None:
    places = ", ".join(f"%({name})s" for name in columns)
    connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})".encode(), columns)


def _write(records: SampleRecords, insert: Insert, order: random.Random) -> None:
    _add_people(records, insert, order)
    _add_claims(records, insert, order)
    _add_jobs(records, insert, order)
    for n in range(SEVERAL):
        insert("idempotency_keys", scope="old", key=str(n), fingerprint="f", created_at="2026-01-01")
        insert("greetings", address=f"{n}@example.test", template="member-welcome", sent_at="2026-01-01")


def _shuffle(ids: list[UUID], order: random.Random) -> list[UUID]:
    return order.sample(ids, len(ids))


def _add_people(records: SampleRecords, insert: Insert, order: random.Random) -> None:
    roles = {
        records.agent: "agent", records.applicant: "agent", records.rejected: "agent", records.staff: "staff",
        records.colleague: "staff", records.admin: "admin",
    }  # fmt: skip
    today = convert_to_local_date(read_utc_now(), Settings().time_zone)
    members = [records.member, records.newcomer, records.paused, *_shuffle(records.lapsed, order)]
    for person in (*roles, *members):
        role, sub = roles.get(person, "member"), None if person == records.newcomer else f"sub-{person}"
        insert(
            "accounts", id=person, role=role, identity_sub=sub, email=f"{person}@example.test", full_name="Besa Hoxha",
            phone="+38344123456", language="sq", proven_at=None if person == records.newcomer else "2026-01-01",
        )  # fmt: skip
    insert("agents", id=records.agent, state="active", city="Prizren", referral_code=records.code)
    insert("agents", id=records.applicant, state="pending", city="Prizren", referral_code="ARTA-0001")
    insert(
        "agents", id=records.rejected, state="rejected", city="Prizren", referral_code="ARTA-0002",
        decided_at="2026-01-01",
    )  # fmt: skip
    for member in members:
        ends_on = date(2026, 1, 1) if member in records.lapsed else today + timedelta(days=5)
        state, paused_on = ("paused", today) if member == records.paused else ("active", None)
        insert("members", id=member, number=f"MEM-{member}", country="XK", agent_id=records.agent)
        subscription = make_uuid7()
        insert(
            "subscriptions", id=subscription, member_id=member, plan="family", state=state, paused_on=paused_on,
            starts_on="2025-01-02", anchor_on="2025-01-02", period_starts_on="2025-01-02", renewed_on="2025-01-02",
            ends_on=ends_on, price=35, currency="EUR",
        )  # fmt: skip
        if member == records.member:
            insert(
                "membership_reminders", subscription_id=subscription, period_starts_on="2025-01-02", kind="30-days",
                ends_on=ends_on, job_id=records.reminder_job,
            )  # fmt: skip
        insert("agent_clients", member_id=member, agent_id=records.agent)
    for n, commission in enumerate([records.commission, *_shuffle(records.approved, order)]):
        state = "pending" if commission == records.commission else "approved"
        insert(
            "commissions",
            id=commission,
            agent_id=records.agent,
            member_id=records.member,
            subscription_id=make_uuid7(),
            kind="new",
            period_starts_on="today",
            earned_on=f"2025-01-0{n + 1}",
            rate="0.2",
            amount="7",
            currency="EUR",
            state=state,
        )


def _add_claims(records: SampleRecords, insert: Insert, order: random.Random) -> None:
    for claim in _shuffle(records.claims, order):
        insert(
            "claims", id=claim, number=f"CLM-{claim}", member_id=records.member, category="travel",
            title="Late flight", company_name="Air", description="It never came.",
            incident_date="2026-01-01", incident_country="CH", amount=1, currency="EUR", state_since="2026-01-01",
        )  # fmt: skip
        insert(
            "claim_history",
            claim_id=claim,
            version=1,
            to_state="submitted",
            actor_role="member",
            actor_id=records.member,
        )
    for slot, document in enumerate([records.document, *_shuffle(records.stale, order)], start=1):
        insert(
            "documents", id=document, claim_id=records.claim, slot=slot, file_name="a.png", content_type="image/png",
            size=len(NOT_AN_IMAGE), object_key=f"uploads/{records.claim}/{document}", state="pending",
            created_at="now" if document == records.document else "2026-01-01",
        )  # fmt: skip


def _add_jobs(records: SampleRecords, insert: Insert, order: random.Random) -> None:
    mail = f'{{"template": "member-welcome", "to": "account:{records.member}", "facts": {{}}}}'
    identity = f'{{"account_id": "{records.newcomer}", "group": "member"}}'

    def add_job(job_id: UUID, state: str, *, kind: str = "mail", leased_until: str | None = None) -> None:
        insert(
            "outbox", id=job_id, kind=kind, priority="low", subject_id=records.member, state=state,
            payload=identity if kind == "identity" else mail, leased_until=leased_until, updated_at="2026-01-01",
            available_at="2026-01-01",
        )  # fmt: skip

    add_job(records.failed_job, "failed")
    add_job(records.mail_job, "pending")
    add_job(records.reminder_job, "pending")
    add_job(records.identity_job, "pending", kind="identity")
    for state in ("pending", "running", "done"):  # due, abandoned, long done
        for job_id in _shuffle([make_uuid7() for _ in range(SEVERAL)], order):
            add_job(job_id, state, leased_until="2026-01-01" if state == "running" else None)
