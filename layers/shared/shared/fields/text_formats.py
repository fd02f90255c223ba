"""Formats of text: how a value is normalised, measured and checked, and how the API's description states that.

All text is normalised to NFC first. Names with invisible characters are rejected; free text loses them.
"""

import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from shared.fields.rules import describe_length, make_rule_error

# Unicode's category Cc and the line separators: not allowed in names and addresses.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
# Removed from free text: category Cc except tabs and line ends, and the byte order mark.
_STRIPPED = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff"
_STRIPPED_IN_A_LINE = r"\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff"
_LINE_ENDS = "[\t\n\u2028\u2029]"
# Invisible characters (Unicode's Default_Ignorable_Code_Point below U+10000). The second list omits the joiners and
# variation selectors, which Persian, Indian languages and emoji need.
_UNSEEN = r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
_UNSEEN += r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
_UNSEEN_IN_NAMES = r"\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
_MAX_COUNTED = 2000  # repetitions in a pattern: common validators' limits are between this and 10,000

_JOINERS = "\u200c\u200d"


def _normalise_nfc(value: str) -> str:
    return unicodedata.normalize("NFC", value)


@dataclass(frozen=True, slots=True)
class TextFormat:
    """A text format: `clean` normalises a value, which is then measured, matched with `pattern` and checked by `rules`.

    `least` and `most` are numbers of characters. `what` names the format in the error of a text that misses the
    pattern, and `explain` may say why a text misses it. The API's description states `described`, the pattern of what
    may be sent: `pattern` itself if `clean` changes nothing.
    """

    pattern: str
    what: str
    least: int | None = None
    most: int | None = None
    clean: Callable[[str], str] = str
    rules: tuple[Callable[[str], None], ...] = ()
    described: str | None = None
    note: str | None = None
    lengths: tuple[tuple[str, int], ...] | None = None  # in the description, if they differ from `least` and `most`
    explain: Callable[[str], str] | None = None

    def check(self, value: str) -> str:
        """Return the normalised value.

        Raise a rule error (shared/fields/rules.py) if it does not have the format.
        """
        text = self.clean(value)
        if wrong := describe_length(len(text), least=self.least, most=self.most):
            raise make_rule_error(wrong)
        if re.search(self.pattern, text) is None or text.endswith("\n"):  # "$" also matches before a final line end
            raise make_rule_error(f"is not {self.what}" + (f": {self.explain(value)}" if self.explain else ""))
        for rule in self.rules:
            rule(text)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema by which pydantic validates."""
        return core_schema.no_info_after_validator_function(self.check, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema that the API's description shows."""
        lengths = self.lengths if self.lengths is not None else (("minLength", self.least), ("maxLength", self.most))
        extra = {"pattern": self.described or self.pattern, "description": self.note, **dict(lengths)}
        return {**handler(schema), **{name: value for name, value in extra.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class CodeList:
    """One of a list of codes."""

    codes: tuple[str, ...]
    what: str

    def check(self, value: str) -> str:
        """Return the value. Raise a rule error if it is not in the list."""
        if value not in self.codes:
            raise make_rule_error(f"is not {self.what}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema by which pydantic validates."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema that the API's description shows."""
        return {**handler(schema), "enum": list(self.codes)}


def _require_letter(text: str) -> None:
    if not any(unicodedata.category(c).startswith("L") for c in text):
        raise make_rule_error("has no letter")


def _require_letter_or_digit(text: str) -> None:
    if not any(unicodedata.category(c)[0] in "LN" for c in text):
        raise make_rule_error("has no letter or digit")


def _reject_invisible(text: str) -> None:
    # Also what the pattern can't express: the tag characters, and future additions to Unicode.
    if any(unicodedata.category(c) == "Cf" and c not in _JOINERS for c in text):
        raise make_rule_error("has characters that show nothing or turn the direction of writing")


def _reject_addresses(text: str) -> None:
    if "://" in unicodedata.normalize("NFKC", text):
        raise make_rule_error("has '://' in it, and a name is no address of a page")


def _build_line_pattern(least: int, most: int, nowhere: str) -> str:
    # The lengths are part of the pattern too: generators of examples start from it.
    end, inside = f"[^\\s{nowhere}]", f"[^{nowhere}]"
    if least > 1:
        return f"^{end}{inside}{{{least - 2},{most - 2}}}{end}$"
    return f"^{end}({inside}{{0,{most - 2}}}{end})?$"


def make_name_format(least: int, most: int, *, person: bool = False) -> TextFormat:
    """Return the format of a name: one line of visible characters without white space at its ends.

    A person's name contains no web address.
    """
    return TextFormat(
        _build_line_pattern(least, most, _CONTROL + _UNSEEN_IN_NAMES),
        "one line of visible characters without white space at its ends",
        least,
        most,
        clean=_normalise_nfc,
        rules=(_reject_invisible, _require_letter, _reject_addresses)
        if person
        else (_reject_invisible, _require_letter_or_digit),
        note="A person's full name, in one line; has a letter, and no `://`." if person else "Has a letter or a digit.",
    )


def make_place_format(least: int, most: int) -> TextFormat:
    """Return the format of a place's name: as any name, with a letter."""
    form = make_name_format(least, most)
    return replace(form, rules=(_reject_invisible, _require_letter), note="Has a letter.")


def _make_free_text_format(least: int, most: int, clean: Callable[[str], str], stripped: str, about: str) -> TextFormat:
    blank = f"\\s{stripped}"
    seen, end, inside = f"[^{blank}{_UNSEEN}]", f"[^{blank}]", f"[^{stripped}]"
    # Characters that are removed don't count, so the pattern counts the others, as far as validators can compile it.
    upper, lengths = (most - 2, ()) if most <= _MAX_COUNTED else ("", (("maxLength", most),))
    counted = f"(?:[{stripped}]*{inside}){{{least - 2},{upper}}}[{stripped}]*"
    return TextFormat(
        "",
        "text",
        least,
        most,
        clean=clean,
        described=f"^[{blank}{_UNSEEN}]*{seen}{counted}{end}[{blank}]*$",
        note=f"{about}: {least} to {most} characters; control characters, and white space at the ends, are removed.",
        lengths=lengths,
    )


def make_line_format(least: int, most: int, *, about: str = "One line of text") -> TextFormat:
    """Return the format of one line of free text; `about` says in the API's description what it is for.

    Line ends and tabs become spaces, other control characters are removed.
    """

    def clean(value: str) -> str:
        return _strip_text(re.sub(_LINE_ENDS, " ", re.sub(f"[{_STRIPPED_IN_A_LINE}]", "", value)))

    return _make_free_text_format(least, most, clean, _STRIPPED_IN_A_LINE, about)


def make_prose_format(least: int, most: int, *, about: str = "Text") -> TextFormat:
    """Return the format of free text of several lines; `about` says in the API's description what it is for.

    Tabs and line ends stay, other control characters are removed.
    """

    def clean(value: str) -> str:
        return _strip_text(re.sub(f"[{_STRIPPED}]", "", value))

    return _make_free_text_format(least, most, clean, _STRIPPED, about)


def _strip_text(value: str) -> str:
    """Return the text in NFC, without invisible characters and white space at its ends."""
    return re.sub(rf"^[\s{_UNSEEN}]+", "", _normalise_nfc(value)).rstrip()


def make_file_name_format(least: int, most: int, extensions: Collection[str]) -> TextFormat:
    """Return the format of a file's name without a path, with one of the extensions in upper or lower case."""
    nowhere = rf"/\\{_CONTROL}{_UNSEEN_IN_NAMES}"
    shortest = min(map(len, extensions))
    ending = "|".join("".join(f"[{c}{c.upper()}]" for c in extension) for extension in extensions)
    return TextFormat(
        rf"^[^\s{nowhere}][^{nowhere}]{{0,{most - shortest - 2}}}\.({ending})$",
        "a file's name, without its path, with the extension of its type",
        least,
        most,
        clean=_normalise_nfc,
        rules=(_reject_invisible,),
    )
