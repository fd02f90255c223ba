"""The people of a running cloud: how they come in, and how they sign in."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.cloud import Cloud, eventually, serial
from tests.people import applicant, person


def keyed(key: str | None = None, **headers: str) -> dict[str, str]:
    """Headers with an Idempotency-Key, a new one unless it is named."""
    return {"Idempotency-Key": key or f"test-{serial()}-{uuid.uuid4()}", **headers}


@dataclass
class People:
    """Makes people in a cloud, and signs them in."""

    cloud: Cloud
    _staff: dict[str, httpx.Client] = field(default_factory=dict)

    def staff(self, role: str = "staff") -> httpx.Client:
        """The one staff member, or admin."""
        if role not in self._staff:
            self._staff[role] = self.cloud.client(token=self.cloud.token(role=role))
        return self._staff[role]

    def another_staff(self) -> httpx.Client:
        """A staff member of one's own, with limits of one's own."""
        return self.cloud.client(token=self.cloud.token(role="staff", email=f"staff.{serial()}@example.test"))

    def register(self, **changes: Any) -> dict[str, Any]:
        """A new member."""
        reply = self.cloud.client().post("/members", json=person(**changes), headers=keyed())
        assert reply.status_code == 201, reply.text
        member: dict[str, Any] = reply.json()
        return member

    def member(self, **changes: Any) -> tuple[dict[str, Any], httpx.Client]:
        """A new member, and their client once their sign-in was created."""
        registered = self.register(**changes)
        return registered, self.sign_in(registered)

    def agent(self, **changes: Any) -> tuple[dict[str, Any], httpx.Client]:
        """A new agent, approved, and their client."""
        reply = self.cloud.client().post("/agents", json=applicant(**changes), headers=keyed())
        assert reply.status_code == 201, reply.text
        decided = self.another_staff().post(
            f"/agents/{reply.json()['id']}/decision", json={"decision": "approve", "reason": "References checked."}
        )
        assert decided.status_code == 200, decided.text
        return decided.json(), self.sign_in(decided.json())

    def sign_in(self, somebody: dict[str, Any]) -> httpx.Client:
        """A client for a registered person."""
        query = "SELECT id FROM accounts WHERE id = %s AND identity_sub IS NOT NULL"
        eventually(lambda: self.cloud.rows(query, somebody["id"]), f"the sign-in of {somebody['id']}")
        return self.cloud.client(token=self.cloud.token(email=somebody["email"]))
