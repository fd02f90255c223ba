"""Members, staff and their cases, on a database and a bucket of a test's own."""

from dataclasses import dataclass
from typing import Any

from claims.app import api
from shared.ids import make_uuid7
from tests.api_client import ApiClient, ApiReply
from tests.databases import FreshDatabase
from tests.fakes.documents import FakeDocumentStore
from tests.integration.function_client import TODAY, get_next_serial, make_client, sign_in

STATES = ("submitted", "verification", "evaluation", "negotiation", "court", "resolved", "rejected", "withdrawn")
STAFF_MOVES = {
    "submitted": ("verification", "evaluation", "rejected"),
    "verification": ("evaluation", "submitted"),
    "evaluation": ("negotiation", "verification", "rejected", "resolved"),
    "negotiation": ("court", "resolved", "evaluation", "rejected"),
    "court": ("resolved", "rejected", "negotiation"),
    "resolved": ("evaluation", "negotiation"),
    "rejected": ("evaluation",),
    "withdrawn": (),
}
WITHDRAWABLE = ("submitted", "verification", "evaluation")
# How a new claim gets into each state.
WAY_TO: dict[str, tuple[str, ...]] = {
    "submitted": (),
    "verification": ("verification",),
    "evaluation": ("evaluation",),
    "negotiation": ("evaluation", "negotiation"),
    "court": ("evaluation", "negotiation", "court"),
    "resolved": ("evaluation", "resolved"),
    "rejected": ("rejected",),
    "withdrawn": ("withdrawn",),
}


def make_claim_body(**changes: Any) -> dict[str, Any]:
    """Return a claim, as a member submits it."""
    base = {
        "category": "travel",
        "title": "Cancelled flight PRN-ZRH",
        "company_name": "Example Air",
        "description": "The flight was cancelled two hours before departure.",
        "incident_date": "2026-11-02",
        "incident_country": "CH",
        "amount": "250.00",
        "currency": "EUR",
    }
    return {**base, **changes}


@dataclass(frozen=True)
class ClaimFixtures:
    """Makes people, and cases in any state."""

    fresh_database: FreshDatabase
    evidence: FakeDocumentStore
    client: ApiClient

    @classmethod
    def make_in(cls, fresh_database: FreshDatabase) -> "ClaimFixtures":
        """Return claims with a bucket of their own."""
        evidence = FakeDocumentStore()
        return cls(fresh_database, evidence, make_client(api, fresh_database, document_store=evidence))

    def make_another_client(self) -> ApiClient:
        """Return the same function in another execution environment: a connection of its own."""
        return make_client(api, self.fresh_database, document_store=self.evidence)

    def add_account(self, role: str) -> str:
        """Add a person; return their id."""
        account_id = str(make_uuid7())
        self.fresh_database.query_rows(
            "INSERT INTO accounts (id, role, email, full_name, phone, language)"
            " VALUES (%s, %s, %s, 'Besa Hoxha', '+38344123456', 'sq')",
            account_id, role, f"person{get_next_serial()}@example.test",
        )  # fmt: skip
        return account_id

    def add_member(self, *, state: str = "active", days_left: int = 300) -> dict[str, str]:
        """Add a member whose subscription ends in `days_left` days; return their token."""
        member_id = self.add_account("member")
        self.fresh_database.query_rows("INSERT INTO members (id, country) VALUES (%s, 'XK')", member_id)
        self.fresh_database.query_rows(
            "INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, price, currency)"
            " SELECT gen_random_uuid(), %s, 'family', %s, d - 400, d + %s, 35, 'EUR' FROM (SELECT %s::date AS d) today",
            member_id, state, days_left, TODAY.date(),
        )  # fmt: skip
        return sign_in(self.fresh_database, member_id)

    def add_staff(self, role: str = "staff") -> dict[str, str]:
        """Add a staff member; return their token."""
        return sign_in(self.fresh_database, self.add_account(role))

    def submit(self, member: dict[str, str], **changes: Any) -> ApiReply:
        """Submit a new claim."""
        return self.client.sign_in_as(member).call(
            "POST", "/claims", make_claim_body(**changes), key=f"key-{get_next_serial()}"
        )

    def claim(self, member: dict[str, str], *, state: str = "submitted") -> str:
        """Return a claim's id; it got into its state as the table of transitions allows, without a history of it."""
        claim_id = str(self.submit(member).json["id"])
        for passed in WAY_TO[state]:
            self.fresh_database.query_rows("UPDATE claims SET state = %s WHERE id = %s", passed, claim_id)
        return claim_id

    def change_state(
        self, who: dict[str, str], claim_id: str, to: str, version: int | None = 1, **more: Any
    ) -> ApiReply:
        """Ask for a transition with a reason, and with a code if it is a rejection."""
        code = {"decline_code": "time_barred"} if to == "rejected" else {}
        body = {"to": to, "reason": "Checked.", **code, **more}
        resource = "/claims/{claim_id}/transitions"
        return self.client.sign_in_as(who).call("POST", resource, body, if_match=version, claim_id=claim_id)

    def read(self, who: dict[str, str], claim_id: str, part: str = "", **query: str) -> ApiReply:
        """Return the claim, or a list that belongs to it."""
        return self.client.sign_in_as(who).call(
            "GET", "/claims/{claim_id}" + part, query=query or None, claim_id=claim_id
        )

    def read_row(self, claim_id: str) -> dict[str, Any]:
        """Return the claim's row."""
        return self.fresh_database.query_rows("SELECT * FROM claims WHERE id = %s", claim_id)[0]

    def count_written(self, claim_id: str) -> tuple[int, int, int]:
        """Return how many history rows, audit entries and jobs there are about a claim."""
        counted = self.fresh_database.query_rows(
            "SELECT (SELECT count(*) FROM claim_history WHERE claim_id = %s) AS h,"
            " (SELECT count(*) FROM audit WHERE subject_id = %s) AS a,"
            " (SELECT count(*) FROM outbox WHERE subject_id = %s) AS o",
            claim_id, claim_id, claim_id,
        )[0]  # fmt: skip
        return counted["h"], counted["a"], counted["o"]


def find_account(who: dict[str, str]) -> str:
    """Return the account that a token is of."""
    return who["sub"].removeprefix("sub-")
