"""The calls that are sent to every stack, as events of API Gateway; the same for the same seed."""

import itertools
import json
import random
from typing import Any

from bench.programs import Operation
from tests.gateway_events import build_request_event

CLIENT_ID = "bench"
SUB = "bench-member"
CLAIMS = {"sub": SUB, "cognito:groups": "member", "token_use": "access", "client_id": CLIENT_ID}
ROUTES: dict[Operation, tuple[str, str]] = {
    "registration": ("POST", "/members"),
    "claim": ("POST", "/claims"),
    "read": ("GET", "/members/me"),
    "health": ("GET", "/health"),
}
PLANS = ("basic", "standard", "family", "business")
LANGUAGES = ("sq", "en", "mk", "sr")


class SeededCalls:
    """Makes calls; each write has a key of its own, each registration an address of its own."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._numbers = itertools.count(1)

    def make_event(self, operation: Operation) -> dict[str, Any]:
        """Return the event of another call."""
        method, resource = ROUTES[operation]
        number = next(self._numbers)
        bodies = {"registration": self._make_member, "claim": self._make_claim}
        body = json.dumps(bodies[operation](number), ensure_ascii=False) if operation in bodies else None
        return build_request_event(
            method,
            resource,
            body,
            headers={
                "Accept": "application/json",
                "Content-Type": "application/json",
                "User-Agent": "bench",
                **({"Idempotency-Key": f"bench-{number}-{self._dice.getrandbits(64):x}"} if body else {}),
            },
            claims=CLAIMS if operation in ("claim", "read") else None,
        )

    def _make_member(self, number: int) -> dict[str, str]:
        return {
            "full_name": "Besa Hoxha",
            "email": f"besa.{number}.{self._dice.getrandbits(32):x}@example.test",
            "phone": f"+3834{self._dice.randrange(10**7):07d}",
            "country": "XK",
            "language": self._dice.choice(LANGUAGES),
            "plan": self._dice.choice(PLANS),
            "terms_version": "2026-01",
        }

    def _make_claim(self, number: int) -> dict[str, str]:
        return {
            "category": "travel",
            "title": f"Cancelled flight PRN-ZRH {number}",
            "company_name": "Example Air",
            "description": "The flight was cancelled two hours before departure.\nNobody answered at the desk.",
            "incident_date": "2026-11-02",
            "incident_country": "CH",
            "amount": f"{self._dice.randrange(100, 900)}.00",
            "currency": "EUR",
        }
