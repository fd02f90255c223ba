"""The mails: 15 of them in 4 languages, whatever the facts hold."""

import re
import tomllib
from html.parser import HTMLParser
from importlib import resources
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from markupsafe import escape

from shared.fields import Language
from tests.databases import MIGRATIONS
from worker.mail_rendering import LANGUAGES, MAILS, MailRenderError, RenderedMail, join_lines, render_mail

LINK = "https://app.example.test"
ALL = [(mail, language) for mail in MAILS for language in LANGUAGES]

PLAIN: dict[str, str] = {
    "full_name": "Besa Hoxha",
    "email": "besa@example.test",
    "referral_code": "ARTA-7K3F",
    "member_number": "MEM-2026-000123",
    "plan": "family",
    "price": "35.00",
    "currency": "EUR",
    "starts_on": "2026-11-24",
    "ends_on": "2027-03-04",
    "renewable_until": "2027-03-18",
    "claim_number": "CLM-2026-000045",
    "title": "Cancelled flight PRN-ZRH",
    "category": "travel",
    "company_name": "Example Air",
    "amount": "250.00",
    "incident_date": "2026-11-02",
    "incident_country": "CH",
    "state": "verification",
    "state_since": "2026-11-10T10:00:00+00:00",
    "days": "7",
    "assignee": "Ana Petrova",
    "from_state": "evaluation",
    "to_state": "rejected",
    "reason": "The contract excludes it.",
    "decline_code": "not_covered",
}
CODED = {"plan", "category", "state", "from_state", "to_state", "decline_code", "price", "amount"}
DATES = {"starts_on", "ends_on", "renewable_until", "incident_date", "state_since"}
# Markup, quotes that leave an attribute, template syntax, right to left with an override, emoji, several lines.
EVIL = (
    '<script>alert(\'x\')</script> "onload="y" &amp; {{ 7 * 7 }} {% raw %} '
    "\u202eשלום \u0645\u0631\u062d\u0628\u0627 👩‍👩‍👧 ë\nBcc: all@example.test\r\n.\r\nend"
)
HOSTILE = {name: value if name in CODED | DATES else f"{EVIL} {name}" for name, value in PLAIN.items()}

PLACEHOLDER = re.compile(r"{{.*?}}")
PARTS = {"subject", "greeting", "body", "details", "quote_label", "quote", "after", "button"}


def load_words(language: str) -> dict[str, Any]:
    """Return a language's file."""
    return tomllib.loads(resources.files("worker.mails").joinpath(f"{language}.toml").read_text(encoding="utf-8"))


def render_mail_of(mail: str, language: str, facts: dict[str, str] = PLAIN) -> RenderedMail:
    """Return a mail with these facts."""
    return render_mail(mail, language, facts, link=LINK)


def test_a_time_is_shown_as_the_day_it_is_where_the_reader_lives() -> None:
    """23:30 in UTC is the next day in Prishtina, in winter and in summer; a plain date stays what it is."""
    zone = ZoneInfo("Europe/Belgrade")
    for time, day in (("2026-12-31T23:30:00+00:00", "1 January 2027"), ("2026-07-31T22:15:00+00:00", "1 August 2026")):
        late = PLAIN | {"state_since": time}
        assert day in render_mail("staff-sla-breach", "en", late, link=LINK, time_zone=zone).text
    new_year = PLAIN | {"ends_on": "2026-12-31"}
    assert "31 December 2026" in render_mail("membership-cancelled", "en", new_year, link=LINK, time_zone=zone).text


class _RenderedPage(HTMLParser):
    """The elements and texts of the HTML, as a mail reader finds them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(("mail", "language"), ALL)
def test_hostile_facts_reach_the_mail_as_text_and_nothing_else(mail: str, language: str) -> None:
    """The HTML's elements are those of a harmless mail, and every word a person wrote stands in both parts."""
    hostile = render_mail_of(mail, language, HOSTILE)
    page = _RenderedPage(hostile.html)
    assert page.tags == _RenderedPage(render_mail_of(mail, language).html).tags
    for name in (*MAILS[mail].required, *MAILS[mail].optional):
        if name not in CODED | DATES:
            assert HOSTILE[name] in hostile.text
            assert HOSTILE[name] in page.text
            assert str(escape(HOSTILE[name])) in hostile.html


@pytest.mark.parametrize(("mail", "language"), ALL)
def test_every_required_fact_is_in_both_parts(mail: str, language: str) -> None:
    """Facts that a mail asks for and does not use would be loaded, and trusted to be there, for nothing."""
    marked = {name: value if name in CODED | DATES else f"fact-{name}" for name, value in PLAIN.items()}
    mail_words = render_mail_of(mail, language, marked)
    shown = mail_words.subject + mail_words.text
    for name in MAILS[mail].required:
        if name not in CODED | DATES:
            assert f"fact-{name}" in shown, name
    for name in set(MAILS[mail].optional) - CODED:
        assert f"fact-{name}" in mail_words.text
        assert f"fact-{name}" in mail_words.html


@pytest.mark.parametrize(("mail", "language"), ALL)
def test_no_placeholder_is_left_and_nothing_comes_from_outside(mail: str, language: str) -> None:
    """A mail that loads pictures or styles lets others see who reads it."""
    mail_words = render_mail_of(mail, language)
    for part in (mail_words.subject, mail_words.text, mail_words.html):
        assert "{{" not in part
        assert "{%" not in part
        assert "None" not in part
    page = _RenderedPage(mail_words.html)
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "table", "tr", "td", "th", "p", "div", "a", "bdi"
    }  # fmt: skip
    assert [attributes.get("href") for tag, attributes in page.tags if tag == "a"] in ([], [LINK])
    assert "src=" not in mail_words.html
    assert "url(" not in mail_words.html


@pytest.mark.parametrize("mail", MAILS)
def test_every_language_says_it_in_its_own_words(mail: str) -> None:
    """No part is left in another language: all differ pairwise, and Macedonian is in Cyrillic."""
    mails = {language: render_mail_of(mail, language) for language in LANGUAGES}
    assert len({m.subject for m in mails.values()}) == len({m.text for m in mails.values()}) == 4
    own = {language: load_words(language)["mail"][mail] for language in LANGUAGES}
    for part in PARTS:
        texts = [str(own[language][part]) for language in LANGUAGES if part in own[language] and part != "quote"]
        assert len(set(texts)) == len(texts), part
    assert any("а" <= letter <= "я" for letter in mails["mk"].subject)
    assert not any("а" <= letter <= "я" for letter in mails["sr"].text)


def test_each_language_has_the_same_mails_with_the_same_parts_and_placeholders() -> None:
    """A part that a translator forgot shows here."""
    english = load_words("en")
    for language in LANGUAGES:
        other = load_words(language)
        assert set(other["mail"]) == set(MAILS)
        assert {kind: set(found) for kind, found in other["words"].items()} == {
            kind: set(found) for kind, found in english["words"].items()
        }
        assert len(other["formats"]["months"]) == 12
        for mail, parts in other["mail"].items():
            assert set(parts) == set(english["mail"][mail]) <= PARTS
            for part, text in parts.items():
                assert PLACEHOLDER.findall(str(text)) == PLACEHOLDER.findall(str(english["mail"][mail][part]))


def test_there_is_a_word_for_every_code_the_database_knows() -> None:
    """A code without a word would fail the mail."""
    schema = "".join(path.read_text(encoding="utf-8") for path in sorted(MIGRATIONS.glob("*.sql")))
    for kind, codes in load_words("en")["words"].items():
        for code in codes:
            assert f"'{code}'" in schema, (kind, code)
    states = schema.partition("INSERT INTO claim_states VALUES")[2].partition(";")[0]
    assert {line.split("'")[1] for line in states.splitlines() if "'" in line} == set(
        load_words("en")["words"]["state"]
    )
    assert set(LANGUAGES) == set(get_args(Language))


@pytest.mark.parametrize(("mail", "language"), ALL)
def test_a_subject_is_one_line_whatever_it_is_made_of(mail: str, language: str) -> None:
    """Nothing in it can begin another header."""
    subject = render_mail_of(mail, language, HOSTILE).subject
    assert subject.splitlines() == [subject]
    assert subject == join_lines(subject)


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\0"])
def test_line_ends_of_any_kind_become_a_space(end: str) -> None:
    """This covers more than the two kinds that mail knows."""
    assert join_lines(f"a{end}b") == "a b"


@pytest.mark.parametrize("control", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_a_subject_does_not_turn_the_direction_of_its_words(control: str) -> None:
    """It has no markup that could isolate a title: one with an override would turn the number that follows it."""
    subject = render_mail_of("claim-received", "en", PLAIN | {"title": f"Late{control} flight"}).subject
    assert control not in subject
    assert join_lines(f"a{control}b") == "ab"


@pytest.mark.parametrize("mail", MAILS)
def test_a_mail_without_its_optional_facts_leaves_them_out(mail: str) -> None:
    """Their labels are left out too: an empty row says nothing."""
    for language in LANGUAGES:
        least = {name: PLAIN[name] for name in MAILS[mail].required}
        text = render_mail_of(mail, language, least).text
        assert all(not line.endswith(":") or "{" in line for line in text.splitlines() if line)
        for name in MAILS[mail].optional:
            assert PLAIN[name] not in text


def test_languages_write_dates_and_amounts_their_own_way() -> None:
    """24 November, 35.00 and 35,00."""
    found = {language: render_mail_of("member-welcome", language).text for language in LANGUAGES}
    assert "24 November 2026" in found["en"]
    assert "EUR 35.00" in found["en"]
    assert "24 nëntor 2026" in found["sq"]
    assert "35,00 EUR" in found["sq"]
    assert "24 ноември 2026" in found["mk"]
    assert "24. novembra 2026." in found["sr"]


def test_words_of_several_lines_keep_their_lines() -> None:
    """The lines stay as they came in."""
    reason = "First line\n  second, indented\n\nlast"
    mail = render_mail_of("claim-moved", "en", PLAIN | {"reason": reason})
    assert reason in mail.text
    assert reason in mail.html
    assert "white-space: pre-wrap" in mail.html


@pytest.mark.parametrize("missing", MAILS["member-welcome"].required)
def test_a_fact_that_is_missing_or_empty_stops_the_mail(missing: str) -> None:
    """Better no mail than one with holes; the code shows an operator why, and nothing about the person."""
    for facts in ({k: v for k, v in PLAIN.items() if k != missing}, PLAIN | {missing: ""}):
        with pytest.raises(MailRenderError) as stopped:
            render_mail_of("member-welcome", "sq", facts)
        assert stopped.value.code == "facts-missing"


@pytest.mark.parametrize(
    ("mail", "language", "facts"),
    [
        ("no-such-mail", "en", PLAIN),
        ("member-welcome", "de", PLAIN),
        ("member-welcome", "en", PLAIN | {"plan": "gold-besa"}),
        ("member-welcome", "en", PLAIN | {"ends_on": "besa"}),
    ],
)
def test_what_can_not_be_written_says_why_without_quoting_it(mail: str, language: str, facts: dict[str, str]) -> None:
    """An unknown mail, language or code, and a date that is none."""
    with pytest.raises(MailRenderError) as stopped:
        render_mail_of(mail, language, facts)
    assert "besa" not in f"{stopped.value.code} {stopped.value.__cause__}"


def test_a_name_written_from_right_to_left_does_not_turn_the_words_around_it() -> None:
    """Each fact is isolated from its sentence."""
    mail = render_mail_of("member-welcome", "en", PLAIN | {"full_name": "\u202eבסה"})
    assert "Hello <bdi>\u202eבסה</bdi>," in mail.html
    assert "Hello \u202eבסה," in mail.text


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("250.00", "EUR", "EUR 250.00"),
        ("250", "EUR", "EUR 250.00"),
        ("250", "JPY", "JPY 250"),
        ("250.00", "JPY", "JPY 250"),
        ("250.55", "JPY", "JPY 250.55"),
        ("1.5", "KWD", "KWD 1.500"),
        ("9999999999", "CLP", "CLP 9999999999"),
        ("250.5", "ANG", "ANG 250.50"),
    ],
)
def test_a_mail_shows_an_amount_with_its_currencys_decimals(amount: str, currency: str, shown: str) -> None:
    """None for the yen, three for the dinar; what has more than its currency is shown as it is, not rounded."""
    rendered = render_mail("claim-received", "en", {**PLAIN, "amount": amount, "currency": currency}, link=LINK)
    assert re.search(rf"{re.escape(shown)}(?![0-9.])", rendered.text)
    local = render_mail("claim-received", "mk", {**PLAIN, "amount": amount, "currency": currency}, link=LINK)
    assert f"{shown[4:].replace('.', ',')} {currency}" in local.text


def test_an_amount_that_is_no_number_is_not_rendered() -> None:
    """Reported as any other fact that can't be written."""
    with pytest.raises(MailRenderError) as caught:
        render_mail("claim-received", "en", {**PLAIN, "amount": "much"}, link=LINK)
    assert caught.value.code == "rendering-InvalidOperation"
