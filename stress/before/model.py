"""The requests and answers, the same as the service's."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Language = Literal["sq", "en", "mk", "sr"]
EmailText = Annotated[
    str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=128), AfterValidator(lambda value: value.lower())
]
PhoneText = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]
NameText = Annotated[str, Field(min_length=2, max_length=100)]
TermsText = Annotated[str, Field(min_length=1, max_length=32)]


class StrictBody(BaseModel):
    """The base of request bodies: no unknown fields."""

    model_config = ConfigDict(extra="forbid")


class ApplicationBody(StrictBody):
    """An agent's application."""

    full_name: NameText
    email: EmailText
    phone: PhoneText
    city: Annotated[str, Field(min_length=1, max_length=100)]
    language: Language
    terms_version: TermsText


class RegistrationBody(StrictBody):
    """A member's registration."""

    full_name: NameText
    email: EmailText
    phone: PhoneText
    country: Literal["XK", "MK", "AL"]
    language: Language
    plan: Literal["basic", "standard", "family", "business"] = "standard"
    terms_version: TermsText
    referral_code: str | None = None


class ClaimBody(StrictBody):
    """A claim as its member submits it."""

    category: Literal["vehicle", "property", "injury", "travel"]
    title: Annotated[str, Field(min_length=5, max_length=200)]
    company_name: Annotated[str, Field(min_length=2, max_length=200)]
    description: Annotated[str, Field(min_length=20, max_length=10_000)]
    incident_date: date
    incident_country: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    amount: Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"


class AgentRecord(BaseModel):
    """An agent."""

    id: UUID
    state: str
    full_name: str
    email: str
    phone: str
    city: str
    language: Language
    tier: str
    referral_code: str
    created_at: datetime
    version: int


class PersonReference(BaseModel):
    """Another person, named in a record."""

    id: UUID
    full_name: str


class MembershipRecord(BaseModel):
    """A membership."""

    plan: str
    state: str
    starts_on: date
    ends_on: date
    price: str
    currency: str
    cancel_at_period_end: bool


class MemberRecord(BaseModel):
    """A member."""

    id: UUID
    number: str
    full_name: str
    email: str
    phone: str
    country: str
    language: Language
    agent: PersonReference | None
    membership: MembershipRecord
    created_at: datetime
    version: int


class ClaimRecord(BaseModel):
    """A claim."""

    id: UUID
    number: str
    state: str
    category: str
    title: str
    company_name: str
    description: str
    incident_date: date
    incident_country: str
    amount: str
    currency: str
    assignee: PersonReference | None
    member: None = None  # whose it is; shown to staff alone
    created_at: datetime
    updated_at: datetime
    version: int


class ClaimPage(BaseModel):
    """A page of claims, newest first; `next_cursor` is null on the last page."""

    items: list[ClaimRecord]
    next_cursor: str | None
