"""Users of a running cloud: how they register and sign in."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.cloud import RunningCloud, get_next_serial, wait_until
from tests.sample_people import make_applicant, make_person


def add_key(key: str | None = None, **headers: str) -> dict[str, str]:
    """Headers with an Idempotency-Key, a new one unless it is named."""
    return {"Idempotency-Key": key or f"test-{get_next_serial()}-{uuid.uuid4()}", **headers}


@dataclass
class CloudUsers:
    """Makes people in a cloud, and signs them in."""

    cloud: RunningCloud
    _staff: dict[str, httpx.Client] = field(default_factory=dict)

    def make_staff(self, role: str = "staff") -> httpx.Client:
        """Return the one staff member, or admin."""
        if role not in self._staff:
            self._staff[role] = self.cloud.make_client(token=self.cloud.get_token(role=role))
        return self._staff[role]

    def make_another_staff(self) -> httpx.Client:
        """Return a staff member of one's own, with limits of one's own."""
        return self.cloud.make_client(
            token=self.cloud.get_token(role="staff", email=f"staff.{get_next_serial()}@example.test")
        )

    def register(self, **changes: Any) -> dict[str, Any]:
        """Register a new member."""
        reply = self.cloud.make_client().post("/members", json=make_person(**changes), headers=add_key())
        assert reply.status_code == 201, reply.text
        member: dict[str, Any] = reply.json()
        return member

    def make_member(self, **changes: Any) -> tuple[dict[str, Any], httpx.Client]:
        """Return a new member, and their client once their sign-in was created."""
        registered = self.register(**changes)
        return registered, self.sign_in(registered)

    def make_agent(self, **changes: Any) -> tuple[dict[str, Any], httpx.Client]:
        """Return a new agent, approved, and their client."""
        reply = self.cloud.make_client().post("/agents", json=make_applicant(**changes), headers=add_key())
        assert reply.status_code == 201, reply.text
        decided = self.make_another_staff().post(
            f"/agents/{reply.json()['id']}/decision", json={"decision": "approve", "reason": "References checked."}
        )
        assert decided.status_code == 200, decided.text
        return decided.json(), self.sign_in(decided.json())

    def sign_in(self, user: dict[str, Any]) -> httpx.Client:
        """Return a client for a registered person."""
        query = "SELECT id FROM accounts WHERE id = %s AND identity_sub IS NOT NULL"
        wait_until(lambda: self.cloud.query_rows(query, user["id"]), f"the sign-in of {user['id']}")
        return self.cloud.make_client(token=self.cloud.get_token(email=user["email"]))
