"""Besa registers with Arta's code, and keeps her membership up to date."""

from collections.abc import Mapping

from tools.openapi.story.ids import ARTA, BESA
from tools.openapi.story.operation_example import JSON, PAGE_QUERY, OperationExample, make_page

REGISTRATION: JSON = {
    "full_name": "Besa Hoxha",
    "email": "besa@example.test",
    "phone": "+38344123456",
    "country": "XK",
    "language": "sq",
    "plan": "family",
    "terms_version": "2026-01",
    "referral_code": "ARTA-7K3F",
}
MEMBERSHIP: JSON = {
    "plan": "family",
    "state": "active",
    "starts_on": "2026-10-20",
    "ends_on": "2027-10-19",
    "price": "35.00",
    "currency": "EUR",
    "cancel_at_period_end": False,
}
MEMBER: JSON = {
    "id": BESA,
    "number": "MEM-2026-000123",
    **{name: REGISTRATION[name] for name in ("full_name", "email", "phone", "country", "language")},
    "agent": {"id": ARTA, "full_name": "Arta Krasniqi"},
    "membership": MEMBERSHIP,
    "created_at": "2026-10-20T17:45:00Z",
    "version": 1,
}


def change_member(version: int, **membership: object) -> JSON:
    """Return Besa's record at a later version, with changes to her membership."""
    return {**MEMBER, "membership": {**MEMBERSHIP, **membership}, "version": version}


EXAMPLES: Mapping[str, OperationExample] = {
    "members.create": OperationExample(
        bodies={
            # First the one that succeeds on every stack: the documentation's page sends it at a click.
            "Besa registers": {name: value for name, value in REGISTRATION.items() if name != "referral_code"},
            "Besa registers with Arta's code": REGISTRATION,
        },
        answer=MEMBER,
    ),
    "members.list": OperationExample(
        query={
            **PAGE_QUERY,
            "number": "MEM-2026-000123",
            "email": "besa@example.test",
            "name": "hoxha b",
            "phone": "044 123 456",
        },
        answer=make_page(MEMBER),
    ),
    "members.get": OperationExample(answer=MEMBER),
    "members.get_own": OperationExample(answer=MEMBER),
    "members.update": OperationExample(
        bodies={"Note her new phone number": {"phone": "+38344123457"}},
        answer={**MEMBER, "phone": "+38344123457", "version": 2},
    ),
    "members.update_own": OperationExample(
        bodies={"Get mails in English": {"language": "en"}}, answer={**MEMBER, "language": "en", "version": 2}
    ),
    "members.renew": OperationExample(answer=change_member(2, ends_on="2028-10-19")),
    "members.cancel": OperationExample(answer=change_member(2, cancel_at_period_end=True)),
    "members.pause": OperationExample(answer=change_member(2, state="paused")),
    "members.resume": OperationExample(answer=change_member(3, ends_on="2027-10-26")),
}
