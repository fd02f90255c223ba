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
    country: HomeCountry = Field(description="The country of the member: the one that this stack serves.")
    language: Language = Field(description="The language of the mails to the member.")
    plan: Plan = Field(default="standard", description="What the membership covers and costs.")
    terms_version: TermsVersion = Field(
        description="The version of the terms that the member has accepted, like 2026-01."
    )
    referral_code: ReferralCode | None = Field(
        default=None, description="The code of the agent who brought the member in, like ARTA-7K3F."
    )


class ContactChange(RequestModel):
    """Changes to contact data; omitted fields stay."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    full_name: PersonName = NOT_SENT
    phone: Phone = NOT_SENT
    language: Language = Field(default=NOT_SENT, description="The new language of the mails to the member.")

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


NAME_PARTS = (
    "Only members whose names have these parts, in any order, in Latin or Cyrillic letters, with or without marks:"
    " `hoxha b`, `Хоџа` and `hodza` find Besa Hoxha. Parts of less than three letters count where a word begins."
)
NamePart = Annotated[
    str,
    replace(make_name_format(2, 100), note=NAME_PARTS),
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

    id: UUID = Field(description="The id of the agent.")
    full_name: str = Field(description="The name of the agent.")


class Membership(ResponseModel):
    """The membership on the day of the call; `price` is the one at the registration."""

    plan: Plan = Field(description="What the membership covers.")
    state: MembershipState = Field(description="Whether it gives access to services today; see MembershipState.")
    starts_on: date = Field(description="The first day of the uninterrupted membership.")
    ends_on: date = Field(description="The last paid day, included; a running pause will move it.")
    price: str = Field(description="What a year costs: the price of the plan at the registration, like 35.00.")
    currency: str = Field(description="The currency of the price, by its code in ISO 4217.")
    cancel_at_period_end: bool = Field(
        description="Whether it was canceled: it then runs until it ends, and a renewal takes it back."
    )


class MemberView(ResponseModel):
    """A member."""

    id: UUID = Field(description="The id of the member, which paths and filters take.")
    number: str = Field(description="The number of the member, like MEM-2026-000123, which people quote.")
    full_name: str = Field(description="The name of the member.")
    email: str = Field(description="The address for mails and for signing in, in lower case.")
    phone: str = Field(description="The phone number in E.164, like +38344123456.")
    country: HomeCountry = Field(description="The country in which the member registered.")
    language: Language = Field(description="The language of the mails to the member.")
    agent: ReferringAgent | None = Field(description="Who brought the member in; null if nobody did.")
    membership: Membership = Field(description="What the member is entitled to, and until when.")
    created_at: datetime = Field(description="When the member registered.")
    version: int = Field(
        description="1 at first, 1 more after each change, also of the membership. The ETag is this number in quotes."
    )
