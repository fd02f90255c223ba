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

# Unicode's category Cc, the line separators, and halves of surrogate pairs.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_LINE = rf"^[^\s{_CONTROL}]([^{_CONTROL}]*[^\s{_CONTROL}])?$"
# Longer text may have tabs and line ends; like a line it neither begins nor ends with white space.
_PROSE = rf"^[^\s{_CONTROL}]([^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s{_CONTROL}])?$"

# What HTML's <input type="email"> accepts, in ASCII and with a dot in the domain.
_EMAIL = (
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])$"
)
_PHONE = r"^\+[1-9][0-9]{6,14}$"  # ITU-T E.164
_AMOUNT = r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,2})?$"
_REFERRAL = r"^[A-Z]{1,8}-[0-9A-HJKMNP-TV-Z]{4}$"
_VERSION = r"^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$"
# Also no path, and nothing that makes a name read otherwise than it is written (bidirectional controls).
_NO_FILE_NAME = rf"/\\{_CONTROL}\u202a-\u202e\u2066-\u2069"
_FILE_NAME = rf"^[^\s{_NO_FILE_NAME}]([^{_NO_FILE_NAME}]*[^\s{_NO_FILE_NAME}])?$"


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


def line(least: int, most: int) -> Form:
    """One line of text: no control characters, no white space at its ends."""
    return Form(_LINE, "one line without control characters or white space at its ends", least, most, nfc=True)


def prose(least: int, most: int) -> Form:
    """Text of several lines."""
    return Form(_PROSE, "text without control characters or white space at its ends", least, most, nfc=True)


def _written_out(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) is None:
        raise PydanticCustomError("form", "is not a date like 2026-11-02")  # "1577836800" would be one, too
    return value


PersonName = Annotated[str, line(2, 200)]
Email = Annotated[str, Form(_EMAIL, "an email address", most=254), AfterValidator(str.lower)]
Phone = Annotated[str, Form(_PHONE, "a phone number in E.164, like +38344123456")]
Amount = Annotated[str, Form(_AMOUNT, "an amount with at most 2 places, like 250.00")]
ReferralCode = Annotated[str, Form(_REFERRAL, "a referral code, like ARTA-7K3F")]
TermsVersion = Annotated[str, Form(_VERSION, "a version, like 2026-01")]
FileName = Annotated[str, Form(_FILE_NAME, "a file's name, without its path", 1, 200, nfc=True)]
Date = Annotated[date, BeforeValidator(_written_out)]
Country = Annotated[str, OneOf(COUNTRIES, "an ISO 3166 country")]
Currency = Annotated[str, OneOf(CURRENCIES, "an ISO 4217 currency")]
Language = Literal["sq", "en", "mk", "sr"]


class Input(BaseModel):
    """What a client sends: nothing unknown, nothing coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class View(BaseModel):
    """What a client is told."""

    model_config = ConfigDict(frozen=True, extra="ignore")
