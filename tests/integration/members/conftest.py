"""Members of these tests: a room with a clock that can be moved, and what a member's life is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from claims.app import api as claims_api
from housekeeping.app import Housekeeper
from members.app import api
from tests.databases import Blank, soon
from tests.fakes.clock import ManualClock
from tests.fakes.evidence import FakeEvidence
from tests.harness import STAFF, Client, Reply
from tests.integration.room import agent, room, serial, sign_in
from tests.people import person, trouble


@dataclass
class Life:
    """One member, from the registration on, in a world whose day can be set."""

    blank: Blank
    clock: ManualClock
    member_id: str
    agent_id: str
    client: Client

    @property
    def today(self) -> date:
        """The day it is."""
        return self.clock().date()  # the clock stands at noon

    def on(self, day: date | str) -> "Life":
        """Go to noon of a day."""
        noon = datetime.combine(date.fromisoformat(day) if isinstance(day, str) else day, time(12), UTC)
        self.clock.advance((noon - self.clock()).total_seconds())
        return self

    def later(self, days: int) -> "Life":
        """Go to noon of a day that is so many days later."""
        return self.on(self.today + timedelta(days=days))

    def post(self, what: str, *, who: dict[str, str] | None = None, key: str | None = None) -> Reply:
        """Renew, cancel, pause or resume, by staff where nobody else is named, with a key of its own."""
        resource = f"/members/{{member_id}}/{what}"
        return self.client.as_(who or STAFF).call(
            "POST", resource, key=key or f"key-{serial()}", member_id=self.member_id
        )

    def renew(self) -> Reply:
        """Renew."""
        return self.post("renewals")

    def read(self) -> dict[str, Any]:
        """The membership, as the API shows it."""
        answer: dict[str, Any] = (
            self.client.as_(STAFF).call("GET", "/members/{member_id}", member_id=self.member_id).json
        )
        return dict(answer["membership"])

    def version(self) -> int:
        """The member's version."""
        return int(self.client.as_(STAFF).call("GET", "/members/{member_id}", member_id=self.member_id).json["version"])

    def has_access(self) -> bool:
        """Whether a claim would be taken; it leaves one where it is."""
        claims = room(claims_api, self.blank, clock=self.clock).as_(sign_in(self.blank, self.member_id))
        body = trouble(incident_date=(self.today - timedelta(days=30)).isoformat())
        reply = claims.call("POST", "/claims", body, key=f"key-{serial()}")
        assert reply.status in (201, 403), reply.body
        return reply.status == 201

    def sweep(self, **parts: Any) -> dict[str, int]:
        """Let housekeeping run once."""
        return Housekeeper(self.blank.database(), FakeEvidence(), self.clock, "request-1", soon(60), **parts).run()

    def jobs(self) -> list[dict[str, Any]]:
        """The mails about the member: template, state and facts, oldest first."""
        return self.blank.rows(
            "SELECT id, payload->>'template' AS template, state, payload->'facts' AS facts FROM outbox"
            " WHERE subject_id = %s AND kind = 'mail' ORDER BY created_at, id",
            self.member_id,
        )

    def audit(self) -> list[str]:
        """The actions that the audit knows of the member."""
        rows = self.blank.rows("SELECT action FROM audit WHERE subject_id = %s ORDER BY at, id", self.member_id)
        return [row["action"] for row in rows]

    def row(self) -> dict[str, Any]:
        """The subscription's row."""
        return self.blank.rows("SELECT * FROM subscriptions WHERE member_id = %s", self.member_id)[0]

    def written(self) -> tuple[Any, ...]:
        """All that a repeated call must leave as it is."""
        return self.version(), self.row(), len(self.jobs()), len(self.audit())


@pytest.fixture
def live(blank: Blank) -> Callable[[str], Life]:
    """Register a member, an agent's client, on a day."""

    def begin(day: str) -> Life:
        clock = ManualClock(datetime.combine(date.fromisoformat(day), time(12), UTC))
        client, (agent_id, code) = room(api, blank, clock=clock), agent(blank)
        reply = client.call("POST", "/members", person(referral_code=code), key=f"key-{serial()}")
        assert reply.status == 201, reply.body
        return Life(blank, clock, reply.json["id"], agent_id, client)

    return begin
