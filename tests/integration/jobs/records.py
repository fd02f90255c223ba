"""Rows that the jobs' tests start from, and queries of their outcome."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.ids import make_uuid7
from tests.databases import FreshDatabase

_serial = itertools.count(1)


@dataclass(frozen=True)
class RecordFixtures:
    """Writes rows as the functions would, and reads them as their owner."""

    fresh_database: FreshDatabase

    def add_account(self, role: str = "member", *, language: str = "sq", email: str | None = None) -> UUID:
        """Add a person, with an address of their own if none is given."""
        account_id, n = make_uuid7(), next(_serial)
        self.fresh_database.query_rows(
            "INSERT INTO accounts (id, role, email, full_name, phone, language) VALUES (%s, %s, %s, %s, %s, %s)",
            account_id, role, email or f"person{n}@example.test", f"Person <{n}>", "+38344123456", language,
        )  # fmt: skip
        return account_id

    def add_agent(self, *, language: str = "sq", state: str = "pending") -> UUID:
        """Add an agent."""
        agent_id = self.add_account("agent", language=language)
        self.fresh_database.query_rows(
            "INSERT INTO agents (id, state, city, referral_code) VALUES (%s, %s, 'Prizren', %s)",
            agent_id, state, f"ARTA-R{next(_serial):03}",
        )  # fmt: skip
        return agent_id

    def add_member(self, *, language: str = "sq", email: str | None = None, **subscription: Any) -> UUID:
        """Add a member whose subscription began today; `subscription` changes its columns."""
        member_id = self.add_account(language=language, email=email)
        self.fresh_database.query_rows("INSERT INTO members (id, country) VALUES (%s, 'XK')", member_id)
        self.fresh_database.query_rows(
            "INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, price, currency)"
            " VALUES (%s, %s, 'family', 'active', '2026-11-24', '2027-11-24', 35, 'EUR')",
            make_uuid7(), member_id,
        )  # fmt: skip
        for column, value in subscription.items():
            self.fresh_database.query_rows(
                f"UPDATE subscriptions SET {column} = %s WHERE member_id = %s", value, member_id
            )
        return member_id

    def add_commission(
        self, agent_id: UUID | None = None, *, amount: str = "7", state: str = "pending", earned_on: str = "2026-11-24"
    ) -> UUID:
        """Add a commission by a new client who has signed in, of an active agent's if none is named."""
        commission_id, member_id = make_uuid7(), self.add_member()
        self.fresh_database.query_rows("UPDATE accounts SET proven_at = now() WHERE id = %s", member_id)
        self.fresh_database.query_rows(
            "INSERT INTO commissions (id, agent_id, member_id, subscription_id, kind, earned_on, period_starts_on,"
            " rate, amount, currency, state) SELECT %s, %s, member_id, id, 'new', %s, starts_on, 0.2, %s, 'EUR', %s"
            " FROM subscriptions WHERE member_id = %s",
            commission_id, agent_id or self.add_agent(state="active"), earned_on, amount, state, member_id,
        )  # fmt: skip
        return commission_id

    def add_claim(self, member_id: UUID, **columns: Any) -> UUID:
        """Add a submitted claim with its first history row; `columns` changes others than its state."""
        claim_id = make_uuid7()
        self.fresh_database.query_rows(
            "INSERT INTO claims (id, member_id, category, title, company_name, description, incident_date,"
            " incident_country, amount, currency) VALUES (%s, %s, 'travel', 'Late <flight>', 'Example Air',"
            " 'It never came.', '2026-11-02', 'CH', 250, 'CHF')",
            claim_id, member_id,
        )  # fmt: skip
        for column, value in columns.items():
            self.fresh_database.query_rows(f"UPDATE claims SET {column} = %s WHERE id = %s", value, claim_id)
        self.add_history(claim_id, 1, None, "submitted")
        return claim_id

    def add_history(
        self, claim_id: UUID, version: int, before: str | None, after: str, reason: str | None = None
    ) -> None:
        """A row of a claim's history."""
        self.fresh_database.query_rows(
            "INSERT INTO claim_history (claim_id, version, from_state, to_state, reason, actor_role, actor_id)"
            " SELECT %s, %s, %s, %s, %s, 'member', member_id FROM claims WHERE id = %s",
            claim_id, version, before, after, reason, claim_id,
        )  # fmt: skip

    def add_job(
        self, kind: str, subject_id: UUID, payload: Mapping[str, Any], *, priority: str = "normal", **columns: Any
    ) -> UUID:
        """Add a job to the outbox, pending if `columns` do not say otherwise."""
        job_id = make_uuid7()
        self.fresh_database.query_rows(
            "INSERT INTO outbox (id, kind, priority, subject_id, payload) VALUES (%s, %s, %s, %s, %s)",
            job_id, kind, priority, subject_id, json.dumps(payload),
        )  # fmt: skip
        for column, value in columns.items():
            self.fresh_database.query_rows(f"UPDATE outbox SET {column} = %s WHERE id = %s", value, job_id)
        return job_id

    def add_mail(
        self,
        template: str,
        subject_id: UUID,
        *,
        to: UUID | None,
        facts: Mapping[str, str] | None = None,
        **columns: Any,
    ) -> UUID:
        """Add a mail job; to the desk if `to` is None."""
        recipient = f"account:{to}" if to else "desk"
        payload = {"template": template, "to": recipient, "facts": dict(facts or {})}
        return self.add_job("mail", subject_id, payload, **columns)

    def add_identity(self, account_id: UUID, group: str = "member", **columns: Any) -> UUID:
        """Add an identity job."""
        return self.add_job("identity", account_id, {"account_id": str(account_id), "group": group}, **columns)

    def read_job(self, job_id: UUID) -> dict[str, Any]:
        """Return a job's row."""
        return self.fresh_database.query_rows("SELECT * FROM outbox WHERE id = %s", job_id)[0]

    def list_states(self) -> dict[UUID, str]:
        """Return every job's state."""
        return {row["id"]: row["state"] for row in self.fresh_database.query_rows("SELECT id, state FROM outbox")}

    def age_job(self, job_id: UUID, interval: str) -> None:
        """Make it look as if that much time had passed for a job."""
        self.fresh_database.query_rows(
            "UPDATE outbox SET available_at = available_at - %s::interval, leased_until = leased_until - %s::interval,"
            " updated_at = updated_at - %s::interval WHERE id = %s",
            interval, interval, interval, job_id,
        )  # fmt: skip
