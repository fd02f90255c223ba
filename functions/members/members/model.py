"""The requests and responses of the members API."""

import re
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from shared.fields import (
    Email,
    HomeCountry,
    Language,
    PersonName,
    Phone,
    ReferralCode,
    RequestModel,
    ResponseModel,
    TermsVersion,
    TextFormat,
    make_name_format,
    make_rule_error,
)
from shared.fields.pagination import PageQuery

Plan = Literal["basic", "standard", "family", "business"]
MembershipState = Literal["active", "past_due", "paused", "canceled", "expired"]
MemberNumber = Annotated[str, TextFormat(r"^MEM-[0-9]{4}-[0-9]{6,12}$", "a member's number, like MEM-2026-000123")]

# The default of a field that may be omitted. Pydantic does not validate defaults, so an omitted field becomes None; a
# null that was sent is refused, since no field's type allows it.
NOT_SENT: Any = None


class NewMember(RequestModel):
    """A registration."""

    full_name: PersonName
    email: Email
    phone: Phone
    country: HomeCountry
    language: Language
    plan: Plan = "standard"
    terms_version: TermsVersion
    referral_code: ReferralCode | None = None


class ContactChange(RequestModel):
    """Changes to contact data; omitted fields stay."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    full_name: PersonName = NOT_SENT
    phone: Phone = NOT_SENT
    language: Language = NOT_SENT

    @model_validator(mode="after")
    def _check_not_empty(self) -> "ContactChange":
        if not self.model_fields_set:
            raise make_rule_error(f"names nothing to change: send one of {', '.join(type(self).model_fields)} at least")
        return self


LONGEST_PHONE_PART = 30  # with what is written between the digits


def _clean_phone_part(value: str) -> str:
    """Return digits as E.164 has them: without what is written between them, and without the prefixes for dialling.

    A text that is too long as it was sent stays as it is, so that its length is what is refused.
    """
    if len(value) > LONGEST_PHONE_PART:
        return value
    digits = re.sub(r"[\s()./-]", "", value)
    return f"+{digits[2:]}" if digits.startswith("00") else digits.removeprefix("0")


NamePart = Annotated[
    str,
    replace(make_name_format(2, 100), note="Only members whose names have these parts. Has a letter or a digit."),
]
PhonePart = Annotated[
    str,
    TextFormat(
        r"^\+?[0-9]+$",
        "part of a phone number, like 44 123 456",
        2,
        LONGEST_PHONE_PART,
        clean=_clean_phone_part,
        described=r"^[\s()./-]*(\+|00?)?([\s()./-]*[1-9]){2}([\s()./-]*[0-9])*[\s()./-]*$",
        note="Only members whose phone numbers have this part; spaces, punctuation and 0 or 00 in front don't count.",
    ),
]


class MemberQuery(PageQuery):
    """The filters of the list of members; each narrows it.

    `name` finds members by parts of their names, in any order, in Latin or Cyrillic letters, with or without marks:
    Besa Hoxha by `besa`, `hoxha b`, `Хоџа` or `hodza`. Parts of less than three letters are looked for where a word
    begins.
    """

    number: MemberNumber | None = Field(default=None, description="Only the member with this number.")
    email: Email | None = Field(default=None, description="Only the member with this email address.")
    name: NamePart | None = None
    phone: PhonePart | None = None


class ReferringAgent(ResponseModel):
    """The agent who brought the member in."""

    id: UUID
    full_name: str


class Membership(ResponseModel):
    """The membership on the day of the call; `price` is the one at the registration."""

    plan: Plan
    state: MembershipState
    starts_on: date = Field(description="First day of the uninterrupted membership")
    ends_on: date = Field(description="Last paid day, included; a running pause will move it")
    price: str
    currency: str
    cancel_at_period_end: bool


class MemberView(ResponseModel):
    """A member."""

    id: UUID
    number: str
    full_name: str
    email: str
    phone: str
    country: HomeCountry
    language: Language
    agent: ReferringAgent | None
    membership: Membership
    created_at: datetime
    version: int
