"""The factory of the calls of a run's users, each with its own mail and network address."""

import itertools
import random
import uuid
from collections.abc import Iterator
from typing import Any

from stress.ledger import PlannedCall

TERMS = "2026-01"
PLANS = {"basic": "15.00", "standard": "20.00", "family": "35.00", "business": "95.00"}
LANGUAGES = ("sq", "en", "mk", "sr")
HOSTS = 250  # used of each 127.x.y.0/24

_serial = itertools.count(1)


def generate_addresses() -> Iterator[str]:
    """Yield loopback addresses, another one each time: to the service each is another client."""
    for number in itertools.count():
        block, host = divmod(number, HOSTS)
        yield f"127.{20 + block // HOSTS}.{block % HOSTS}.{host + 1}"


class CallFactory:
    """The calls that users make, with random values from a seed. `mailbox` is the pattern of mail addresses."""

    def __init__(self, seed: int, mailbox: str = "{name}@example.test") -> None:
        self._dice = random.Random(seed)
        self._addresses = generate_addresses()
        self._mailbox = mailbox

    def _make_mail_address(self, name: str) -> str:
        return self._mailbox.format(name=f"{name}.{self._dice.getrandbits(40):x}")

    def make_client_address(self) -> str:
        """Return a network address that no client had."""
        return next(self._addresses)

    def make_key(self) -> str:
        """Return an unused Idempotency-Key."""
        return f"stress-{uuid.UUID(int=self._dice.getrandbits(128))}"

    def make_application(self, **changes: Any) -> PlannedCall:
        """Return an agent's application. All share a first name, so that referral codes may collide."""
        number = next(_serial)
        body = {
            "full_name": "Arta Krasniqi",
            "email": self._make_mail_address(f"arta.{number}"),
            "phone": f"+38344{number % 1_000_000:06d}",
            "city": "Prishtinë",
            "language": self._dice.choice(LANGUAGES),
            "terms_version": TERMS,
        }
        return self._make_post("apply", "/agents", body, **changes)

    def make_registration(self, **changes: Any) -> PlannedCall:
        """Return a member's registration; `referral_code` in `changes` names the agent."""
        number = next(_serial)
        body = {
            "full_name": "Besa Hoxha",
            "email": self._make_mail_address(f"besa.{number}"),
            "phone": f"+38345{number % 1_000_000:06d}",
            "country": "XK",
            "language": self._dice.choice(LANGUAGES),
            "plan": self._dice.choice(tuple(PLANS)),
            "terms_version": TERMS,
        }
        if code := changes.pop("referral_code", None):
            body["referral_code"] = code
        return self._make_post("register", "/members", body, **changes)

    def make_claim(self, token: str, **changes: Any) -> PlannedCall:
        """Return a call by which a member files a claim."""
        body = {
            "category": self._dice.choice(("vehicle", "property", "injury", "travel")),
            "title": f"Cancelled flight {next(_serial)}",
            "company_name": "Example Air",
            "description": "The flight was cancelled two hours before departure.\nNobody answered at the desk.",
            "incident_date": "2026-11-02",
            "incident_country": "CH",
            "amount": f"{self._dice.randint(10, 900)}.50",
            "currency": "EUR",
        }
        return self._make_post("claim", "/claims", body, token=token, **changes)

    def make_document_announcement(self, claim_id: str, token: str, size: int, **changes: Any) -> PlannedCall:
        """Return a call by which a member announces a document of a claim."""
        body = {"file_name": "boarding-pass.txt", "content_type": "text/plain", "size": size}
        return self._make_post("announce", f"/claims/{claim_id}/documents", body, token=token, **changes)

    def make_write(self, operation: str, path: str, body: dict[str, Any] | None = None, **changes: Any) -> PlannedCall:
        """Return any other call that changes something."""
        return self._make_post(operation, path, body, **changes)

    def make_read(self, operation: str, path: str, **changes: Any) -> PlannedCall:
        """Return a call that reads."""
        changes.setdefault("client", self.make_client_address())
        return PlannedCall(operation, "GET", path, wanted=changes.pop("wanted", (200,)), **changes)

    def _make_post(self, operation: str, path: str, body: dict[str, Any] | None, **changes: Any) -> PlannedCall:
        changes.setdefault("client", self.make_client_address())
        changes.setdefault("key", self.make_key())
        return PlannedCall(operation, "POST", path, body=body, **changes)
