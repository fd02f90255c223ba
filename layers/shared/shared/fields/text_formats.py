"""Forms of text: how a value is normalised, measured and checked, and how the API's description tells it.

Everything is normalised to NFC first. Names are refused where they hold what can't be seen; free text loses it.
"""

import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

# Unicode's category Cc and the line separators: nowhere in names and addresses.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
# What free text loses: category Cc but the tab and the line ends, and the byte order mark.
_STRIPPED = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff"
_STRIPPED_IN_A_LINE = r"\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff"
_LINE_ENDS = "[\t\n\u2028\u2029]"
# Characters that show nothing (Unicode's Default_Ignorable_Code_Point below U+10000). The second list leaves out the
# joiners and variation selectors, which belong to the writing of Persian, of Indian languages and of emoji.
_UNSEEN = r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
_UNSEEN += r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
_UNSEEN_IN_NAMES = r"\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
_MAX_COUNTED = 2000  # repetitions in a pattern: a common validator's limit is between this and 10,000

_JOINERS = "\u200c\u200d"


def _normalise_nfc(value: str) -> str:
    return unicodedata.normalize("NFC", value)


@dataclass(frozen=True, slots=True)
class TextFormat:
    """Text of a form: `clean` normalises it, then it is measured, held against `pattern`, and `rules` look at it.

    `least` and `most` are characters. `what` stands in the answer to text that misses the pattern. The API's
    description tells `described`, the pattern of what may be sent: `pattern` itself where cleaning forgives nothing.
    """

    pattern: str
    what: str
    least: int | None = None
    most: int | None = None
    clean: Callable[[str], str] = str
    rules: tuple[Callable[[str], None], ...] = ()
    described: str | None = None
    note: str | None = None
    lengths: tuple[tuple[str, int], ...] | None = None  # in the description, where they are not `least` and `most`

    def check(self, value: str) -> str:
        """Return the normalised value. Raises PydanticCustomError or PydanticKnownError where it is not of the form."""
        text = self.clean(value)
        if self.least is not None and len(text) < self.least:
            raise PydanticKnownError("string_too_short", {"min_length": self.least})
        if self.most is not None and len(text) > self.most:
            raise PydanticKnownError("string_too_long", {"max_length": self.most})
        if re.search(self.pattern, text) is None or text.endswith("\n"):  # "$" also matches before a last line end
            raise PydanticCustomError("form", "is not {what}", {"what": self.what})
        for rule in self.rules:
            rule(text)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        lengths = self.lengths if self.lengths is not None else (("minLength", self.least), ("maxLength", self.most))
        extra = {"pattern": self.described or self.pattern, "description": self.note, **dict(lengths)}
        return {**handler(schema), **{name: value for name, value in extra.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class CodeList:
    """One of a list of codes."""

    codes: tuple[str, ...]
    what: str

    def check(self, value: str) -> str:
        """The value; raises PydanticCustomError where it is not on the list."""
        if value not in self.codes:
            raise PydanticCustomError("code", "is not {what}", {"what": self.what})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.codes)}


def _require_letter(text: str) -> None:
    if not any(unicodedata.category(c).startswith("L") for c in text):
        raise PydanticCustomError("letter", "has no letter")


def _require_letter_or_digit(text: str) -> None:
    if not any(unicodedata.category(c)[0] in "LN" for c in text):
        raise PydanticCustomError("letter", "has no letter or digit")


def _reject_invisible(text: str) -> None:
    # Also what the pattern can't name: the tags, and whatever Unicode adds.
    if any(unicodedata.category(c) == "Cf" and c not in _JOINERS for c in text):
        raise PydanticCustomError("unseen", "has characters that show nothing or turn the direction of writing")


def _reject_addresses(text: str) -> None:
    if "://" in unicodedata.normalize("NFKC", text):
        raise PydanticCustomError("address", "has '://' in it, and a name is no address of a page")


def _build_line_pattern(least: int, most: int, nowhere: str) -> str:
    # The lengths stand in the pattern too: generators of examples start from there.
    end, inside = f"[^\\s{nowhere}]", f"[^{nowhere}]"
    if least > 1:
        return f"^{end}{inside}{{{least - 2},{most - 2}}}{end}$"
    return f"^{end}({inside}{{0,{most - 2}}}{end})?$"


def make_name_format(least: int, most: int, *, person: bool = False) -> TextFormat:
    """Describe a name: one line of visible characters, no white space at its ends; a person's is no web address."""
    return TextFormat(
        _build_line_pattern(least, most, _CONTROL + _UNSEEN_IN_NAMES),
        "one line of visible characters without white space at its ends",
        least,
        most,
        clean=_normalise_nfc,
        rules=(_reject_invisible, _require_letter, _reject_addresses)
        if person
        else (_reject_invisible, _require_letter_or_digit),
        note="Has a letter, and no `://`." if person else "Has a letter or a digit.",
    )


def make_place_format(least: int, most: int) -> TextFormat:
    """Describe a place's name: as any name, with a letter."""
    form = make_name_format(least, most)
    return replace(form, rules=(_reject_invisible, _require_letter), note="Has a letter.")


def _make_free_text_format(least: int, most: int, clean: Callable[[str], str], stripped: str) -> TextFormat:
    blank = f"\\s{stripped}"
    seen, end, inside = f"[^{blank}{_UNSEEN}]", f"[^{blank}]", f"[^{stripped}]"
    # What is removed does not count, so that the pattern counts what remains; as far as validators compile it.
    upper, lengths = (most - 2, ()) if most <= _MAX_COUNTED else ("", (("maxLength", most),))
    counted = f"(?:[{stripped}]*{inside}){{{least - 2},{upper}}}[{stripped}]*"
    return TextFormat(
        "",
        "text",
        least,
        most,
        clean=clean,
        described=f"^[{blank}{_UNSEEN}]*{seen}{counted}{end}[{blank}]*$",
        note=f"{least} to {most} characters, without control characters and white space at the ends: they are removed.",
        lengths=lengths,
    )


def make_line_format(least: int, most: int) -> TextFormat:
    """Describe one line of free text: line ends and tabs become spaces, other control characters are removed."""

    def clean(value: str) -> str:
        return _strip_text(re.sub(_LINE_ENDS, " ", re.sub(f"[{_STRIPPED_IN_A_LINE}]", "", value)))

    return _make_free_text_format(least, most, clean, _STRIPPED_IN_A_LINE)


def make_prose_format(least: int, most: int) -> TextFormat:
    """Describe free text of several lines: tabs and line ends stay as they are, control characters are removed."""

    def clean(value: str) -> str:
        return _strip_text(re.sub(f"[{_STRIPPED}]", "", value))

    return _make_free_text_format(least, most, clean, _STRIPPED)


def _strip_text(value: str) -> str:
    """The text in NFC from its first visible character to its last that is no white space."""
    return re.sub(rf"^[\s{_UNSEEN}]+", "", _normalise_nfc(value)).rstrip()


def make_file_name_format(least: int, most: int, extensions: Collection[str]) -> TextFormat:
    """Describe a file's name, without its path, with one of the extensions (in any case)."""
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
