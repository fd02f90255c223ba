"""A whole mail, word for word: where each part stands, and what is left out."""

import re
from datetime import UTC, timedelta, timezone

import pytest

from worker.mail_rendering import MailRenderError, format_decimals, join_lines, render_mail

LINK = "https://app.example.test/?a=1&b=2"
CLAIM: dict[str, object] = {
    "full_name": "Besa <b>",
    "claim_number": "CLM-2026-000045",
    "title": "Flight",
    "to_state": "rejected",
    "from_state": "evaluation",
    "reason": "Line one\n  line two & more",
    "decline_code": "not_covered",
    "unknown": "a fact that no mail of this kind shows",
}
TEXT = """\
Hello Besa <b>,

The state of your claim has changed.

Claim number: CLM-2026-000045
Title: Flight
New state: Rejected
State before: In evaluation
Ground for rejection: Not covered by your membership

Explanation:
Line one
  line two & more

See your claim: https://app.example.test/?a=1&b=2

Your Interdomestik team

--\N{SPACE}
You receive this mail because you use Interdomestik. It was sent automatically."""
SHORT_TEXT = """\
Hello Besa <b>,

The state of your claim has changed.

Claim number: CLM-2026-000045
Title: Flight
New state: Rejected

See your claim: https://app.example.test/?a=1&b=2

Your Interdomestik team

--\N{SPACE}
You receive this mail because you use Interdomestik. It was sent automatically."""
BREACH = {"claim_number": "CLM-1", "state": "court", "state_since": "2026-11-10T23:30:00+00:00", "days": "7"}


def list_html_texts(html: str) -> list[str]:
    """Return the texts of an HTML part between its elements, as they are written, without its styles."""
    body = html.partition("</style>")[2]
    return [text for part in re.findall(r">([^<>]*)<", body) if (text := part.strip("\n"))]


def test_a_mail_has_each_part_in_its_place() -> None:
    """It is plain text, with a person's own line breaks."""
    mail = render_mail("claim-moved", "en", CLAIM, link=LINK)
    assert mail.subject == "Your claim CLM-2026-000045: Rejected"
    assert mail.text == TEXT


def test_the_html_has_the_same_parts_with_each_fact_escaped_and_by_itself() -> None:
    """In the same order; its title is the subject, and its language that of its words."""
    html = render_mail("claim-moved", "en", CLAIM, link=LINK).html
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n')
    assert html.endswith("</html>")
    assert "<title>Your claim CLM-2026-000045: Rejected</title>" in html
    assert 'href="https://app.example.test/?a=1&amp;b=2"' in html
    assert list_html_texts(html) == [
        "Interdomestik", "Hello ", "Besa &lt;b&gt;", ",", "The state of your claim has changed.",
        "Claim number", "CLM-2026-000045", "Title", "Flight", "New state", "Rejected", "State before", "In evaluation",
        "Ground for rejection", "Not covered by your membership",
        "Explanation", "Line one\n  line two &amp; more", "See your claim", "Your Interdomestik team",
        "You receive this mail because you use Interdomestik. It was sent automatically.",
    ]  # fmt: skip
    assert "\n\n" not in html, "the layout's own lines leave none behind"


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_fact_leaves_neither_a_label_nor_a_line(empty: str | None) -> None:
    """Optional facts that are empty are as if they were missing."""
    facts = CLAIM | {"from_state": empty, "reason": empty, "decline_code": empty}
    mail = render_mail("claim-moved", "en", facts, link=LINK)
    assert mail.text == SHORT_TEXT
    assert "Explanation" not in mail.html
    assert "<bdi></bdi>" not in mail.html


def test_a_mail_of_another_language_says_so() -> None:
    """Screen readers go by it."""
    assert '<html lang="sq">' in render_mail("claim-moved", "sq", CLAIM, link=LINK).html


def test_a_number_is_a_fact_too() -> None:
    """A value of JSON is shown as text, and 0 is not empty; only a fact that is not there stops the mail."""
    assert ": 0 days\n" in render_mail("staff-sla-breach", "en", {**BREACH, "days": 0}, link=LINK).text
    with pytest.raises(MailRenderError, match=r"^facts-missing$"):
        render_mail("staff-sla-breach", "en", {**BREACH, "days": None}, link=LINK)


@pytest.mark.parametrize(
    ("zone", "day"),
    [(None, "10 November 2026"), (UTC, "10 November 2026"), (timezone(timedelta(hours=2)), "11 November")],
)
def test_a_time_is_shown_as_its_day_in_the_zone_and_in_utc_without_one(zone: timezone | None, day: str) -> None:
    """A date is no time."""
    zones = {} if zone is None else {"time_zone": zone}
    assert day in render_mail("staff-sla-breach", "en", BREACH, link=LINK, **zones).text


@pytest.mark.parametrize(
    ("mail", "language", "changes", "code"),
    [
        ("no-such-mail", "en", {}, "template-unknown"),
        ("staff-sla-breach", "de", {}, "rendering-KeyError"),
        ("staff-sla-breach", "en", {"state": "gold"}, "rendering-KeyError"),
        ("staff-sla-breach", "en", {"state_since": "yesterday"}, "rendering-ValueError"),
        ("staff-sla-breach", "en", {"days": ""}, "facts-missing"),
    ],
)
def test_each_reason_why_a_mail_can_not_be_written_has_its_code(
    mail: str, language: str, changes: dict[str, str], code: str
) -> None:
    """It is the error's text, and hides what caused it."""
    with pytest.raises(MailRenderError, match=f"^{code}$") as failed:
        render_mail(mail, language, BREACH | changes, link=LINK)
    assert (failed.value.code, failed.value.__cause__) == (code, None)
    assert failed.value.__suppress_context__ or failed.value.__context__ is None


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("1", "EUR", "1.00"),
        ("1.50", "JPY", "1.50"),
        ("1.0", "JPY", "1"),
        ("1", "XXX", "1.00"),  # two decimals where nobody knows the currency
        ("1.234", "KWD", "1.234"),
        ("12345678901234567890123456.78", "EUR", "12345678901234567890123456.78"),
    ],
)
def test_an_amount_has_its_currencys_decimals_and_loses_none(amount: str, currency: str, shown: str) -> None:
    """Up to the 28 digits that are exact."""
    assert format_decimals(amount, currency) == shown


@pytest.mark.parametrize(
    ("text", "line"),
    [(" a  b ", "a b"), ("a\u00a0b", "a b"), ("a\u202eb", "ab"), ("a\tb", "a b"), ("\u2066a\u2069", "a"), ("", "")],
)
def test_a_line_has_single_spaces(text: str, line: str) -> None:
    """It has none at its ends."""
    assert join_lines(text) == line
