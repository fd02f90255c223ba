"""What agents send and are told."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from shared.http.pages import PageQuery
from shared.text import Email, Input, Language, PersonName, Phone, TermsVersion, View, line, prose

AgentState = Literal["pending", "active", "suspended", "rejected"]
Decision = Literal["approve", "reject", "suspend", "reinstate"]


class Application(Input):
    """An application to become an agent."""

    full_name: PersonName
    email: Email
    phone: Phone
    city: Annotated[str, line(1, 100)]
    language: Language
    terms_version: TermsVersion


class DecisionRequest(Input):
    """What staff decide about an agent, and why."""

    decision: Decision
    reason: Annotated[str, prose(2, 1000)]


class AgentQuery(PageQuery):
    """Which agents."""

    status: AgentState | None = None


class AgentView(View):
    """An agent; the referral code is what members name when they register."""

    id: UUID
    state: AgentState
    full_name: str
    email: str
    phone: str
    city: str
    language: Language
    tier: Literal["standard", "premium", "vip"]
    referral_code: str
    created_at: datetime
    version: int


class ClientView(View):
    """A client as their agent may see them: never anything of a claim."""

    id: UUID
    number: str
    full_name: str
    membership_state: Literal["active", "past_due", "paused", "canceled", "expired"]
    membership_ends_on: date


class CommissionView(View):
    """What an agent earns by one period of one client's membership."""

    id: UUID
    kind: Literal["new", "renewal"]
    state: Literal["pending", "approved", "paid", "void"]
    rate: str
    amount: str
    currency: str
    member_number: str
    created_at: datetime
