"""The field types of requests, each with the pattern that the API's description states."""

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from shared.fields.code_lists import COUNTRIES, CURRENCIES, TRUNK_ZERO
from shared.fields.domain_names import convert_domain_to_ascii
from shared.fields.id_faults import describe_id_fault
from shared.fields.rules import describe_length, make_rule_error
from shared.fields.text_formats import (
    CodeList,
    TextFormat,
    make_file_name_format,
    make_line_format,
    make_name_format,
    make_place_format,
    make_prose_format,
)

# Defined in shared/fields/text_formats.py and rules.py, used together with the types below.
__all__ = [
    "TextFormat",
    "make_file_name_format",
    "make_line_format",
    "make_name_format",
    "make_prose_format",
    "make_rule_error",
]

# What HTML's <input type="email"> accepts, in ASCII and with a dot in the domain.
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_DOMAIN = r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])"
_IN_DOMAIN = r"[^\x00-,/:-@\[-`{-\x7f]"  # letters, digits, dots and hyphens of any script
_PHONE = rf"^(?!{TRUNK_ZERO})\+[1-9][0-9]{{6,14}}$"  # ITU-T E.164
_AMOUNT = r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,3})?$"
_REFERRAL = r"^[A-Z]{1,8}-[0-9A-HJKMNP-TV-Z]{4}$"
_SPACES = "[ \u00a0]*"
_DASH = "[\u2010-\u2015\u2212-]"
_VERSION = r"^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$"
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

# Cognito's limit for user names, and the address is the user name; RFC 5321 would permit 254.
_MAX_EMAIL = 128
_MAX_LOCAL = 64

_REFERRAL_CHARACTERS = 4
_AS_CROCKFORD_READS = str.maketrans("ILO", "110")


def _normalise_email(value: str) -> str:
    """Return the address in lower case, its domain in ASCII."""
    if wrong := describe_length(len(value), most=_MAX_EMAIL):  # before work that grows quadratically with the length
        raise make_rule_error(wrong)
    local, _, domain = value.rpartition("@")
    try:
        return f"{local.lower()}@{convert_domain_to_ascii(domain)}" if local.isascii() else ""
    except ValueError:
        return ""


def _check_deliverable(address: str) -> None:
    local = address.partition("@")[0]
    if len(local) > _MAX_LOCAL:
        raise make_rule_error(f"has {len(local)} characters before the @, and may have at most {_MAX_LOCAL}")
    if "=?" in local:  # RFC 2047: mail programs read it as the beginning of an encoded word
        raise make_rule_error("is an encoded word, not an email address")


def _reject_trunk_zero(number: str) -> None:
    if re.match(TRUNK_ZERO, number):
        raise make_rule_error(
            "has a trunk zero, the 0 after the country's code that is dialled inside the country only: leave it out",
        )


def _normalise_referral_code(value: str) -> str:
    """Return a code as it was issued: in capitals, with one dash; I, L and O among its digits read as 1, 1 and 0."""
    code = re.sub(_DASH, "-", re.sub(_SPACES, "", value))
    if not code.isascii():
        return ""
    letters, dash, last = code.upper().rpartition("-")
    if not dash:
        letters, last = last[:-_REFERRAL_CHARACTERS], last[-_REFERRAL_CHARACTERS:]
    return f"{letters}-{last.translate(_AS_CROCKFORD_READS)}"


def _convert_integral(value: Any) -> Any:
    # In JSON 1 and 1.0 are the same number, and generated clients send either.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_calendar_date(value: Any) -> date:
    # Parsed here, since pydantic reads "1577836800" as seconds, even in strict mode.
    try:
        found = date.fromisoformat(value)
    except (TypeError, ValueError):
        found = None
    if found is None or found.isoformat() != value:
        raise make_rule_error("is not a date, like 2026-11-02")
    return found


PersonName = Annotated[str, make_name_format(2, 100, person=True)]
PlaceName = Annotated[str, make_place_format(1, 100)]
CompanyName = Annotated[str, make_name_format(2, 200)]
Email = Annotated[
    str,
    TextFormat(
        f"^{_LOCAL}@{_DOMAIN}$",
        "an email address",
        most=_MAX_EMAIL,
        clean=_normalise_email,
        rules=(_check_deliverable,),
        described=f"^{_LOCAL}@({_DOMAIN}|{_IN_DOMAIN}*[^\\x00-\\x7f]{_IN_DOMAIN}*)$",
        note="An address for mails and for signing in. Kept in lower case, an international domain in its ASCII form;"
        " at most 64 characters before the @.",
    ),
]
Phone = Annotated[
    str,
    TextFormat(
        r"^\+[1-9][0-9]{6,14}$",
        "a phone number in E.164, like +38344123456",
        rules=(_reject_trunk_zero,),
        described=_PHONE,
        note="A phone number in E.164, like +38344123456: without the zero that is dialled inside a country only.",
    ),
]
Amount = Annotated[
    str,
    TextFormat(
        _AMOUNT,
        "an amount, like 250.00",
        note="An amount of money, like 250.00, with at most as many decimals as the currency has (ISO 4217).",
    ),
]
ReferralCode = Annotated[
    str,
    TextFormat(
        _REFERRAL,
        "a referral code, like ARTA-7K3F",
        clean=_normalise_referral_code,
        described=f"^{_SPACES}([A-Za-z]{_SPACES}){{1,8}}({_DASH}{_SPACES})?([0-9A-TV-Za-tv-z]{_SPACES}){{4}}$",
        note="Read as Crockford's base32 is: in any case, with or without the dash, I and L as 1, O as 0.",
    ),
]
RecordId = Annotated[str, TextFormat(f"^{_UUID}$", "an id", explain=describe_id_fault), AfterValidator(str.lower)]
OwnOrId = Annotated[
    str, TextFormat(f"^(me|{_UUID})$", "me or an id", explain=describe_id_fault), AfterValidator(str.lower)
]
TermsVersion = Annotated[str, TextFormat(_VERSION, "a version, like 2026-01")]
INTEGRAL = BeforeValidator(_convert_integral)  # last in an Annotated[int, …], so that its bounds are in the description
Date = Annotated[date, BeforeValidator(_parse_calendar_date)]
Country = Annotated[str, CodeList(COUNTRIES, "an ISO 3166 country")]
Currency = Annotated[str, CodeList(CURRENCIES, "an ISO 4217 currency")]
Language = Literal["sq", "en", "mk", "sr"]
HomeCountry = Literal["XK", "MK", "AL"]  # the countries that a stack can serve


class RequestModel(BaseModel):
    """The base of request bodies and queries: no unknown fields, no coercion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ResponseModel(BaseModel):
    """The base of response bodies."""

    model_config = ConfigDict(frozen=True, extra="ignore")
