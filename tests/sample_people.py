"""Sample people of the tests: what they send, each time with an address of their own."""

import uuid
from typing import Any


def make_applicant(**changes: Any) -> dict[str, Any]:
    """Return an agent's application."""
    base = {
        "full_name": "Arta Krasniqi",
        "email": f"arta.{uuid.uuid4().hex[:10]}@example.test",
        "phone": "+38344555111",
        "city": "Prishtinë",
        "language": "sq",
        "terms_version": "2026-01",
    }
    return {**base, **changes}


def make_person(**changes: Any) -> dict[str, Any]:
    """Return a member's registration."""
    base = {
        "full_name": "Besa Hoxha",
        "email": f"besa.{uuid.uuid4().hex[:10]}@example.test",
        "phone": "+38344123456",
        "country": "XK",
        "language": "sq",
        "plan": "family",
        "terms_version": "2026-01",
    }
    return {**base, **changes}


def make_claim_body(**changes: Any) -> dict[str, Any]:
    """Return a claim."""
    base = {
        "category": "travel",
        "title": "Cancelled flight PRN-ZRH",
        "company_name": "Example Air",
        "description": "The flight was cancelled two hours before departure.\nNobody answered at the desk.",
        "incident_date": "2026-11-02",
        "incident_country": "CH",
        "amount": "250.00",
        "currency": "EUR",
    }
    return {**base, **changes}
