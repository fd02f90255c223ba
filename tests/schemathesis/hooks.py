"""Schemathesis hooks for what the API's schema can't express."""

import datetime as dt
import unicodedata
import uuid
from typing import Any

import schemathesis
from schemathesis.generation.meta import TestPhase

from claims.model import EXTENSIONS
from shared.fields.code_lists import DECIMALS
from shared.settings import Settings

TODAY = dt.datetime.now(dt.UTC).date().isoformat()
EARLIEST = "1990-01-01"
JOINERS = "\u200c\u200d"  # shown by the letters between which they stand
NAMES = ("full_name", "city", "company_name", "name")


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Mend calls that are meant to be valid: a key stands for one request, a cursor is ours, fields fit together."""
    if case.meta is not None and case.meta.generation.mode.is_negative:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.query:
        case.query.pop("cursor", None)
    if case.meta is not None and case.meta.phase.name == TestPhase.EXAMPLES:
        return  # what the description shows has to be right as it stands
    if case.query:
        fix_values(case.query)
    if isinstance(case.body, dict):
        fix_values(case.body)
        fix_references(case.body)


def fix_values(values: dict[str, Any]) -> None:
    """Replace what satisfies the patterns and is still no such thing: patterns don't know letters and domains."""
    for name, value in values.items():
        if isinstance(value, str):
            text = _replace_invisible(value) if name in (*NAMES, "file_name") else value
            values[name] = _add_letter(text) if name in NAMES else unicodedata.normalize("NFC", text)
    if "email" in values:
        values["email"] = _make_deliverable(str(values["email"]))
    if "country" in values:
        values["country"] = Settings().country  # the stack serves one; another is refused
    if "incident_date" in values:
        values["incident_date"] = min(max(str(values["incident_date"]), EARLIEST), TODAY)
    if "amount" in values:
        values["amount"] = _round_amount(str(values["amount"]), str(values.get("currency", "EUR")))
    if "file_name" in values and values.get("content_type") in EXTENSIONS:
        stem = str(values["file_name"]).rpartition(".")[0]
        values["file_name"] = f"{stem}.{EXTENSIONS[values['content_type']][0]}"[-200:].lstrip()


def fix_references(values: dict[str, Any]) -> None:
    """Replace the ids and codes of what need not exist: the caller is a staff member; an agent may be suspended."""
    values.pop("referral_code", None)
    if values.get("staff_id") is not None:
        values["staff_id"] = "me"


def _replace_invisible(text: str) -> str:
    """Replace what shows nothing and no pattern names, such as the tags above U+E0000, by a letter."""
    return "".join("x" if unicodedata.category(c) == "Cf" and c not in JOINERS else c for c in text)


def _add_letter(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    if any(unicodedata.category(c).startswith("L") for c in composed) and len(composed) == len(name):
        return name
    return "A" + "b" * (len(name) - 1)


def _make_deliverable(address: str) -> str:
    local, _, domain = address.rpartition("@")
    ascii_domain = domain if domain.isascii() and "xn--" not in domain.lower() else "example.test"
    return f"{local[:64].rstrip('.').replace('=?', '=')}@{ascii_domain}"


def _round_amount(amount: str, currency: str) -> str:
    whole, _, fraction = amount.partition(".")
    kept = fraction[: DECIMALS.get(currency, 2)]
    return f"{whole}.{kept}" if kept else whole
