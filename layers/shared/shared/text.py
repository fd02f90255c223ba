"""The kinds of text a request may carry, each with its pattern so that the API's description says it too.

Text is checked as it came and then normalised to NFC; nothing else of it is changed.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from shared.codes import COUNTRIES, CURRENCIES

# What may stand nowhere: Unicode's category Cc, the line separators (prose may have tabs and line ends).
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_CONTROL_IN_PROSE = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
# Also no path, and nothing that makes a name read otherwise than it is written (bidirectional controls).
_NOT_IN_FILE_NAMES = rf"/\\{_CONTROL}\u202a-\u202e\u2066-\u2069"

# What HTML's <input type="email"> accepts, in ASCII and with a dot in the domain.
_EMAIL = (
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])$"
)
_PHONE = r"^\+[1-9][0-9]{6,14}$"  # ITU-T E.164
_AMOUNT = r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,2})?$"
_REFERRAL = r"^[A-Z]{1,8}-[0-9A-HJKMNP-TV-Z]{4}$"
_VERSION = r"^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$"


@dataclass(frozen=True, slots=True)
class Form:
    """Text of a form: `pattern` stands in the API's description, `what` in the answer to text that misses it.

    Lengths, in characters, are those of the text as it came; `nfc` normalises it after all checks.
    """

    pattern: str
    what: str
    least: int | None = None
    most: int | None = None
    nfc: bool = False

    def check(self, value: str) -> str:
        """The value; raises PydanticCustomError where it is not of the form."""
        if re.search(self.pattern, value) is None or value.endswith("\n"):  # "$" also matches before a last line end
            raise PydanticCustomError("form", "is not {what}", {"what": self.what})
        return unicodedata.normalize("NFC", value) if self.nfc else value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = core_schema.str_schema(min_length=self.least, max_length=self.most)
        return core_schema.no_info_after_validator_function(self.check, inner)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern}


@dataclass(frozen=True, slots=True)
class OneOf:
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


def _text(what: str, least: int, most: int, *, nowhere: str, at_ends: str) -> Form:
    # The lengths stand in the pattern too: generators of examples start from there.
    end, inside = f"[^\\s{at_ends}]", f"[^{nowhere}]"
    if least > 1:
        pattern = f"^{end}{inside}{{{least - 2},{most - 2}}}{end}$"
    else:
        pattern = f"^{end}({inside}{{0,{most - 2}}}{end})?$"
    return Form(pattern, what, least, most, nfc=True)


def line(least: int, most: int) -> Form:
    """One line of text: no control characters, no white space at its ends."""
    what = "one line without control characters or white space at its ends"
    return _text(what, least, most, nowhere=_CONTROL, at_ends=_CONTROL)


def prose(least: int, most: int) -> Form:
    """Text of several lines."""
    what = "text without control characters or white space at its ends"
    return _text(what, least, most, nowhere=_CONTROL_IN_PROSE, at_ends=_CONTROL)


def file_name(least: int, most: int) -> Form:
    """A file's name, without its path."""
    return _text("a file's name, without its path", least, most, nowhere=_NOT_IN_FILE_NAMES, at_ends=_NOT_IN_FILE_NAMES)


def _integral(value: Any) -> Any:
    # To JSON 1 and 1.0 are the same number, and generated clients send either.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _calendar_date(value: Any) -> date:
    # By ourselves: pydantic takes "1577836800" for a count of seconds, even where it is strict.
    try:
        found = date.fromisoformat(value)
    except (TypeError, ValueError):
        found = None
    if found is None or found.isoformat() != value:
        raise PydanticCustomError("form", "is not a date, like 2026-11-02")
    return found


PersonName = Annotated[str, line(2, 200)]
Email = Annotated[str, Form(_EMAIL, "an email address", most=254), AfterValidator(str.lower)]
Phone = Annotated[str, Form(_PHONE, "a phone number in E.164, like +38344123456")]
Amount = Annotated[str, Form(_AMOUNT, "an amount with at most 2 places, like 250.00")]
ReferralCode = Annotated[str, Form(_REFERRAL, "a referral code, like ARTA-7K3F")]
TermsVersion = Annotated[str, Form(_VERSION, "a version, like 2026-01")]
FileName = Annotated[str, file_name(1, 200)]
INTEGRAL = BeforeValidator(_integral)  # last in an Annotated[int, …], so that its bounds stand in the description
Date = Annotated[date, BeforeValidator(_calendar_date)]
Country = Annotated[str, OneOf(COUNTRIES, "an ISO 3166 country")]
Currency = Annotated[str, OneOf(CURRENCIES, "an ISO 4217 currency")]
Language = Literal["sq", "en", "mk", "sr"]


class Input(BaseModel):
    """What a client sends: nothing unknown, nothing coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class View(BaseModel):
    """What a client is told."""

    model_config = ConfigDict(frozen=True, extra="ignore")
