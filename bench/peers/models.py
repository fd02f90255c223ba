"""The requests and answers of the peers, as models of pydantic."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class MemberInput(BaseModel):
    """A registration."""

    model_config = ConfigDict(extra="forbid")

    full_name: Annotated[str, Field(min_length=2, max_length=100)]
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=128)]
    phone: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]
    country: Literal["XK", "MK", "AL"]
    language: Literal["sq", "en", "mk", "sr"]
    plan: Literal["basic", "standard", "family", "business"] = "standard"
    terms_version: Annotated[str, Field(max_length=32)]


class MembershipOutput(BaseModel):
    """A membership."""

    model_config = ConfigDict(from_attributes=True, coerce_numbers_to_str=True)

    plan: str
    state: str
    starts_on: date
    ends_on: date
    price: str
    currency: str
    cancel_at_period_end: bool


class MemberOutput(BaseModel):
    """A member."""

    id: UUID
    number: str
    full_name: str
    email: str
    phone: str
    country: str
    language: str
    agent: None = None
    membership: MembershipOutput
    created_at: datetime
    version: int


class ClaimInput(BaseModel):
    """A claim as its member submits it."""

    model_config = ConfigDict(extra="forbid", from_attributes=True, coerce_numbers_to_str=True)

    category: Literal["vehicle", "property", "injury", "travel"]
    title: Annotated[str, Field(min_length=5, max_length=200)]
    company_name: Annotated[str, Field(min_length=2, max_length=200)]
    description: Annotated[str, Field(min_length=20, max_length=10_000)]
    incident_date: date
    incident_country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    amount: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,2})?$")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"


class ClaimOutput(ClaimInput):
    """A claim."""

    id: UUID
    number: str
    state: str
    assignee: None = None
    member: None = None
    created_at: datetime
    updated_at: datetime
    version: int
