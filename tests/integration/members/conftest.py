"""Fixtures of the members' tests: a function with a clock that the test sets, and the events of a membership."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from claims.app import api as claims_api
from housekeeping.app import Housekeeper
from members.app import api
from tests.api_client import STAFF, ApiClient, ApiReply
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.clock import ManualClock
from tests.fakes.documents import FakeDocumentStore
from tests.integration.function_client import add_agent, get_next_serial, make_client, sign_in
from tests.sample_people import make_claim_body, make_person


@dataclass
class MembershipFixture:
    """One member, from the registration on, in a test environment whose day can be set."""

    fresh_database: FreshDatabase
    clock: ManualClock
    member_id: str
    agent_id: str
    client: ApiClient

    @property
    def today(self) -> date:
        """The day it is."""
        return self.clock().date()  # the clock stands at noon

    def set_day(self, day: date | str) -> "MembershipFixture":
        """Go to noon of a day."""
        noon = datetime.combine(date.fromisoformat(day) if isinstance(day, str) else day, time(12), UTC)
        self.clock.advance((noon - self.clock()).total_seconds())
        return self

    def advance_days(self, days: int) -> "MembershipFixture":
        """Go to noon of the day that is `days` later."""
        return self.set_day(self.today + timedelta(days=days))

    def post(self, what: str, *, who: dict[str, str] | None = None, key: str | None = None) -> ApiReply:
        """Renew, cancel, pause or resume, by staff where nobody else is named, with a key of its own."""
        resource = f"/members/{{member_id}}/{what}"
        return self.client.sign_in_as(who or STAFF).call(
            "POST", resource, key=key or f"key-{get_next_serial()}", member_id=self.member_id
        )

    def renew(self) -> ApiReply:
        """Renew."""
        return self.post("renewals")

    def read(self) -> dict[str, Any]:
        """Return the membership, as the API shows it."""
        answer: dict[str, Any] = (
            self.client.sign_in_as(STAFF).call("GET", "/members/{member_id}", member_id=self.member_id).json
        )
        return dict(answer["membership"])

    def read_version(self) -> int:
        """Return the member's version."""
        return int(
            self.client.sign_in_as(STAFF).call("GET", "/members/{member_id}", member_id=self.member_id).json["version"]
        )

    def has_access(self) -> bool:
        """Return whether a claim would be taken; if so the claim stays."""
        claims = make_client(claims_api, self.fresh_database, clock=self.clock).sign_in_as(
            sign_in(self.fresh_database, self.member_id)
        )
        body = make_claim_body(incident_date=(self.today - timedelta(days=30)).isoformat())
        reply = claims.call("POST", "/claims", body, key=f"key-{get_next_serial()}")
        assert reply.status in (201, 403), reply.body
        return reply.status == 201

    def sweep(self, **parts: Any) -> dict[str, int]:
        """Let housekeeping run once."""
        return Housekeeper(
            self.fresh_database.make_database(),
            FakeDocumentStore(),
            self.clock,
            "request-1",
            make_deadline(60),
            **parts,
        ).run()

    def list_mails(self) -> list[dict[str, Any]]:
        """Return the mails about the member: template, state and facts, oldest first."""
        return self.fresh_database.query_rows(
            "SELECT id, payload->>'template' AS template, state, payload->'facts' AS facts FROM outbox"
            " WHERE subject_id = %s AND kind = 'mail' ORDER BY created_at, id",
            self.member_id,
        )

    def list_actions(self) -> list[str]:
        """Return the actions that the audit knows of the member."""
        rows = self.fresh_database.query_rows(
            "SELECT action FROM audit WHERE subject_id = %s ORDER BY at, id", self.member_id
        )
        return [row["action"] for row in rows]

    def read_row(self) -> dict[str, Any]:
        """Return the subscription's row."""
        return self.fresh_database.query_rows("SELECT * FROM subscriptions WHERE member_id = %s", self.member_id)[0]

    def read_written(self) -> tuple[Any, ...]:
        """Return all that a repeated call must leave as it is."""
        return self.read_version(), self.read_row(), len(self.list_mails()), len(self.list_actions())


@pytest.fixture
def start_membership(fresh_database: FreshDatabase) -> Callable[[str], MembershipFixture]:
    """Register a member, an agent's client, on a day."""

    def begin(day: str) -> MembershipFixture:
        clock = ManualClock(datetime.combine(date.fromisoformat(day), time(12), UTC))
        client, (agent_id, code) = make_client(api, fresh_database, clock=clock), add_agent(fresh_database)
        reply = client.call("POST", "/members", make_person(referral_code=code), key=f"key-{get_next_serial()}")
        assert reply.status == 201, reply.body
        return MembershipFixture(fresh_database, clock, reply.json["id"], agent_id, client)

    return begin
