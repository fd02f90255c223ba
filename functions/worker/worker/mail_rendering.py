"""Mails in four languages: the facts that each needs, and how its texts become a subject, a text part and an HTML part.

The texts are in `mails/<language>.toml`, written once for both parts; `mails/layout.txt` and `layout.html` arrange
them. A fact is only ever a value: what a person wrote appears in the mail unchanged, and in HTML as escaped text.
"""

import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Context, Decimal, Inexact
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateError
from markupsafe import Markup, escape

from shared.clock import convert_to_local_date
from shared.fields.code_lists import DECIMALS

# Embeddings, overrides and isolates, and what ends them (UAX 9): a header has no markup that could contain their
# effect.
_DIRECTION_CONTROLS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})

_EXACT = Context(prec=28, traps=[Inexact])

LANGUAGES = ("sq", "en", "mk", "sr")


@dataclass(frozen=True, slots=True)
class MailVariables:
    """The facts of a mail: required ones, and optional ones that are omitted if they are empty."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


_ENDING = ("full_name", "member_number", "plan", "price", "currency", "ends_on")
_CLAIM = ("full_name", "claim_number", "title")

MAILS: Mapping[str, MailVariables] = {
    "agent-received": MailVariables(("full_name", "referral_code")),
    "agent-approved": MailVariables(("full_name", "referral_code")),
    "agent-rejected": MailVariables(("full_name",), ("reason",)),
    "member-welcome": MailVariables(
        ("full_name", "email", "member_number", "plan", "price", "currency", "starts_on", "ends_on")
    ),
    "membership-renewed": MailVariables(("full_name", "member_number", "plan", "price", "currency", "ends_on")),
    "membership-cancelled": MailVariables(("full_name", "member_number", "ends_on")),
    "membership-ends-soon": MailVariables(_ENDING),
    "membership-ends-shortly": MailVariables(_ENDING),
    "membership-ends-today": MailVariables((*_ENDING, "renewable_until")),
    "membership-ended": MailVariables(_ENDING),
    "claim-received": MailVariables((*_CLAIM, "category", "company_name", "amount", "currency")),
    "claim-moved": MailVariables((*_CLAIM, "to_state"), ("from_state", "reason", "decline_code")),
    "documents-requested": MailVariables(_CLAIM, ("reason",)),
    "staff-new-claim": MailVariables((
        "claim_number", "member_number", "title", "category", "company_name",
        "incident_date", "incident_country", "amount", "currency",
    )),
    "staff-sla-breach": MailVariables(("claim_number", "state", "state_since", "days"), ("assignee",)),
}  # fmt: skip


# Facts that are times, not dates.
_TIMES = frozenset({"state_since"})


class MailRenderError(Exception):
    """A mail can't be rendered; `code` says why and contains none of its facts."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """The content of a mail: a subject of one line, and the body as text and as HTML."""

    subject: str
    text: str
    html: str


def render_mail(
    mail: str, language: str, facts: Mapping[str, object], *, link: str, time_zone: tzinfo = UTC
) -> RenderedMail:
    """Render a mail. `facts` may contain more than it needs; `link` is the target of its button.

    Dates and times are ISO 8601, amounts decimal, all as text. A time is shown as its date in `time_zone`. Raise
    MailRenderError.
    """
    needed = MAILS.get(mail)
    if needed is None:
        raise MailRenderError("template-unknown")
    known = {name: str(value) for name, value in facts.items() if value not in (None, "")}
    if any(name not in known for name in needed.required):
        raise MailRenderError("facts-missing")
    chosen = {name: known.get(name, "") for name in (*needed.required, *needed.optional)}
    try:
        return _load_texts(language).render(mail, _convert_times_to_days(chosen, time_zone), link)
    except (TemplateError, KeyError, ValueError, ArithmeticError) as error:
        raise MailRenderError(f"rendering-{type(error).__name__}") from None


def _convert_times_to_days(facts: Mapping[str, str], time_zone: tzinfo) -> dict[str, str]:
    """Return the facts with each time replaced by its date. Raise ValueError for what is no time."""

    def convert_to_day(time: str) -> str:
        return convert_to_local_date(datetime.fromisoformat(time), time_zone).isoformat()

    return {name: convert_to_day(fact) if name in _TIMES and fact else fact for name, fact in facts.items()}


class _LanguageTexts:
    """The texts of one language, compiled on first use."""

    def __init__(self, language: str, texts: Mapping[str, Any]) -> None:
        self._language = language
        self._texts = texts
        self._text = _make_environment(self._make_filters(), escaped=False)
        self._html = _make_environment(self._make_filters(), escaped=True)

    def render(self, mail: str, facts: Mapping[str, str], link: str) -> RenderedMail:
        """Fill in both layouts."""
        subject = join_lines(self._fill_template(self._text, self._texts["mail"][mail]["subject"], facts))
        more = {"language": self._language, "subject": subject, "link": link}
        parts = [
            layout.render(self._render_parts(environment, mail, facts) | more)
            for environment, layout in (
                (self._text, _load_layout("layout.txt")),
                (self._html, _load_layout("layout.html")),
            )
        ]
        return RenderedMail(subject, *parts)

    def _render_parts(self, environment: Environment, mail: str, facts: Mapping[str, str]) -> dict[str, Any]:
        own = self._texts["mail"][mail]

        def fill(source: str) -> str:
            return self._fill_template(environment, source, facts)

        rows = [(fill(label), fill(value)) for label, value in own.get("details", ())]
        quote = fill(own.get("quote", ""))
        return {
            "greeting": fill(own.get("greeting", self._texts["greeting"])),
            "body": [fill(paragraph) for paragraph in own["body"]],
            "details": [row for row in rows if row[1]],
            "quote_label": fill(own.get("quote_label", "")) if quote else "",
            "quote": quote,
            "after": [fill(paragraph) for paragraph in own.get("after", ())],
            "button": fill(own.get("button", "")),
            "signature": fill(self._texts["signature"]),
            "footer": fill(self._texts["footer"]),
        }

    @staticmethod
    def _fill_template(environment: Environment, source: str, facts: Mapping[str, str]) -> str:
        filled = _compile_template(environment, source).render(facts)
        return Markup(filled) if environment.autoescape else filled  # noqa: S704 - escaped by the environment

    def _make_filters(self) -> dict[str, Callable[..., str]]:
        words, formats = self._texts["words"], self._texts["formats"]

        def format_day(value: str) -> str:
            when = date.fromisoformat(value[:10])
            return str(formats["day"].format(day=when.day, month=formats["months"][when.month - 1], year=when.year))

        def format_money(amount: str, currency: str) -> str:
            shown = format_decimals(amount, currency).replace(".", formats["decimal_mark"])
            return str(formats["money"].format(amount=shown, currency=currency))

        def make_lookup(kind: str) -> Callable[[str], str]:
            return lambda code: words[kind][code] if code else ""

        return {"day": format_day, "money": format_money, **{kind: make_lookup(kind) for kind in words}}


def format_decimals(amount: str, currency: str) -> str:
    """Return the amount with its currency's decimals; an amount with more decimals is not rounded."""
    exact = Decimal(amount)
    try:
        return str(exact.quantize(Decimal(1).scaleb(-DECIMALS.get(currency, 2)), context=_EXACT))
    except Inexact:
        return str(exact)


def join_lines(text: str) -> str:
    """Return the text as one line, which can't end a header, begin another or change the direction of writing."""
    kept = (c for c in text if unicodedata.bidirectional(c) not in _DIRECTION_CONTROLS)
    spaced = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in kept)
    return " ".join("".join(spaced).split())


def _make_environment(filters: Mapping[str, Callable[..., str]], *, escaped: bool) -> Environment:
    environment = Environment(
        autoescape=escaped,  # noqa: S701 - the text part is not HTML
        undefined=StrictUndefined,
        finalize=_isolate_direction if escaped else None,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters)
    return environment


def _isolate_direction(fact: object) -> object:
    # A name written from right to left must not change the direction of the words around it.
    return Markup("<bdi>") + escape(fact) + Markup("</bdi>") if fact != "" else fact


@cache
def _load_texts(language: str) -> _LanguageTexts:
    if language not in LANGUAGES:
        raise KeyError(language)
    return _LanguageTexts(language, tomllib.loads(_read_file(f"{language}.toml")))


@cache
def _compile_template(environment: Environment, source: str) -> Template:
    return environment.from_string(source)


@cache
def _load_layout(name: str) -> Template:
    escaped = name.endswith(".html")
    environment = Environment(
        autoescape=escaped,  # noqa: S701 - the text part is not HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(_read_file(name))


def _read_file(name: str) -> str:
    return resources.files("worker.mails").joinpath(name).read_text(encoding="utf-8")
