"""The values that claims and documents may have."""

from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from claims.model import EXTENSIONS, Assignment, ContentType, NewClaim, NewDocument
from shared.api.body import validate_model
from shared.errors import Refusal
from shared.fields import RequestModel
from shared.fields.code_lists import CURRENCIES, DECIMALS
from tests.integration.claims.sample_claims import make_claim_body

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def list_pointers(model: type[RequestModel], value: dict[str, Any], now: datetime = NOW) -> list[str]:
    """Return the fields that are refused."""
    try:
        validate_model(model, value, now=now)
    except Refusal as refusal:
        return [error.pointer for error in refusal.errors]
    return []


def make_announcement(file_name: str, content_type: str = "application/pdf") -> dict[str, Any]:
    return {"file_name": file_name, "content_type": content_type, "size": 5}


@pytest.mark.parametrize(
    ("currency", "sent", "kept"),
    [
        *[("EUR", "250", "250.00"), ("EUR", "250.5", "250.50"), ("EUR", "0.01", "0.01"), ("ALL", "0", "0.00")],
        *[("JPY", "250", "250"), ("KRW", "0", "0"), ("CLP", "9999999999", "9999999999"), ("UGX", "1", "1")],
        *[("KWD", "250", "250.000"), ("TND", "0.125", "0.125"), ("OMR", "1.5", "1.500"), ("XCG", "1.05", "1.05")],
    ],
)
def test_an_amount_is_kept_with_its_currencys_decimals(currency: str, sent: str, kept: str) -> None:
    """ISO 4217: none, two or three."""
    claim = validate_model(NewClaim, make_claim_body(currency=currency, amount=sent), now=NOW)
    assert (claim.amount, claim.currency) == (kept, currency)


@pytest.mark.parametrize(
    ("currency", "amount"),
    [
        *[("JPY", "250.55"), ("JPY", "250.0"), ("ISK", "1.00"), ("XAF", "0.5"), ("KWD", "1.2345"), ("BHD", "1.0000")],
        *[("EUR", "1.234"), ("MKD", "1.000"), ("EUR", "10000000000")],
    ],
)
def test_an_amount_with_more_decimals_than_its_currency_has_is_refused(currency: str, amount: str) -> None:
    """Nobody can pay half a yen."""
    assert list_pointers(NewClaim, make_claim_body(currency=currency, amount=amount)) == ["/amount"]


def test_without_a_currency_that_is_known_the_amount_is_not_blamed() -> None:
    """One mistake gives one error."""
    assert list_pointers(NewClaim, make_claim_body(amount="1.234", currency="???")) == ["/currency"]


def test_without_a_currency_the_euros_decimals_count() -> None:
    """The default is looked at like what was sent."""
    body = make_claim_body(amount="1.234")
    del body["currency"]
    assert list_pointers(NewClaim, body) == ["/amount"]
    assert validate_model(NewClaim, {**body, "amount": "7"}, now=NOW).amount == "7.00"


def test_the_currencies_are_those_of_2026() -> None:
    """Ended ones are gone, new ones are there, and amounts can be kept with the decimals of all."""
    assert {"XCG", "ZWG", "SLE", "VED", "EUR", "MKD", "ALL", "RSD", "BAM"} <= set(CURRENCIES)
    assert {"ANG", "HRK", "BGN", "ZWL", "SLL", "CUC", "XAU", "XXX", "USN", "CLF"}.isdisjoint(CURRENCIES)
    assert (len(CURRENCIES), set(DECIMALS.values())) == (len(set(CURRENCIES)), {0, 2, 3})


@pytest.mark.parametrize(
    ("now", "incident", "refused"),
    [
        (datetime(2026, 11, 24, 21, 30, tzinfo=UTC), "2026-11-25", False),  # 06:30 in Tokyo
        (datetime(2026, 11, 24, 10, 0, tzinfo=UTC), "2026-11-25", False),  # midnight at UTC+14
        (datetime(2026, 11, 24, 9, 59, tzinfo=UTC), "2026-11-25", True),
        (datetime(2026, 11, 24, 21, 30, tzinfo=UTC), "2026-11-26", True),
        (NOW, "1990-01-01", False),
        (NOW, "1989-12-31", True),
        (NOW, "0001-01-01", True),
        (NOW, "9999-12-31", True),
    ],
)
def test_an_incident_is_between_1990_and_today_wherever_it_was(now: datetime, incident: str, refused: bool) -> None:
    """Today begins first at UTC+14."""
    assert list_pointers(NewClaim, make_claim_body(incident_date=incident), now) == (
        ["/incident_date"] if refused else []
    )


@pytest.mark.parametrize("content_type", get_args(ContentType))
def test_a_files_extension_is_its_types(content_type: ContentType) -> None:
    """It may have any case and follow any name; another type's is refused."""
    for other, extensions in EXTENSIONS.items():
        for extension in extensions:
            for name in (
                f"a.{extension}",
                f"фактура për 1.{extension.upper()}",
                f"a.exe.{extension}",
                f"..{extension}",
            ):
                expected = [] if other == content_type else ["/file_name"]
                assert list_pointers(NewDocument, make_announcement(name, content_type)) == expected, name


NOT_A_PDFS = [
    *["boarding-pass.hta", "invoice.pdf.exe", "invoice", "pdf", ".pdf", "invoice.pdf.", "invoice.pdf ", " invoice.pdf"],
    *["invoice.pdf\u200b", "invoice.exe\u202e.pdf", "a\u200f.pdf", "invoice.pdf\u0000", "a\nb.pdf", "a/b.pdf"],
    *["a\\b.pdf", "invoice．pdf", "invoice.рdf", "invoice.pdf\u2028", "a\ufeff.pdf", "a.\u202efdp", ""],
    *["x" * 197 + ".pdf", "e\u0301" * 197 + ".pdf"],
]


@pytest.mark.parametrize("file_name", NOT_A_PDFS)
def test_a_file_name_that_is_not_its_types_is_refused(file_name: str) -> None:
    """People who download the file open it by its name."""
    assert list_pointers(NewDocument, make_announcement(file_name)) == ["/file_name"]


def test_a_file_name_is_measured_in_its_composed_form() -> None:
    """A Mac sends two code points for one such letter."""
    assert validate_model(NewDocument, make_announcement("e\u0301" * 196 + ".pdf")).file_name == "é" * 196 + ".pdf"


def test_a_refused_file_name_says_which_extensions_there_are() -> None:
    """An unknown type is reported alone."""
    with pytest.raises(Refusal) as caught:
        validate_model(NewDocument, make_announcement("a.pdf", "image/jpeg"))
    assert caught.value.errors[0].detail == "does not end in .jpg or .jpeg or .jpe or .jfif"
    assert list_pointers(NewDocument, make_announcement("a.pdf", "application/x-msdownload")) == ["/content_type"]


@pytest.mark.parametrize("staff_id", ["01A20BA6-AFB6-76D1-9556-A703FF01D17A", "01a20ba6-afb6-76d1-9556-a703ff01d17a"])
def test_an_id_in_a_body_is_one_however_it_is_written(staff_id: str) -> None:
    """It is compared and kept in lower case."""
    assert validate_model(Assignment, {"staff_id": staff_id}).staff_id == staff_id.lower()
