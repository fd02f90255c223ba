"""The requests and responses of the agents API."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from shared.fields import (
    Email,
    Language,
    PersonName,
    Phone,
    PlaceName,
    RecordId,
    RequestModel,
    ResponseModel,
    TermsVersion,
    TextFormat,
    make_prose_format,
)
from shared.fields.pagination import PageQuery

AgentState = Literal["pending", "active", "suspended", "rejected"]
Decision = Literal["approve", "reject", "suspend", "reinstate"]
Tier = Literal["standard", "premium", "vip"]
CommissionState = Literal["pending", "approved", "paid", "void"]
CommissionVerb = Literal["approve", "void"]

# As many decimals as the database stores of a rate.
Rate = Annotated[str, TextFormat(r"^(0(\.[0-9]{1,4})?|1(\.0{1,4})?)$", 'a rate from "0" to "1" with at most 4 places')]
# Of this century: any other month is a typing error.
Month = Annotated[str, TextFormat(r"^20[0-9]{2}-(0[1-9]|1[0-2])$", "a month, like 2026-11")]
Reason = Annotated[str, make_prose_format(2, 1000)]

NOT_SENT: Any = None  # null itself is refused if the type does not allow it


class AgentApplication(RequestModel):
    """An application to become an agent."""

    full_name: PersonName
    email: Email
    phone: Phone
    city: PlaceName
    language: Language
    terms_version: TermsVersion


class AgentDecision(RequestModel):
    """A decision of staff about an agent, with its reason."""

    decision: Decision
    reason: Reason


class AgentChange(RequestModel):
    """Changes to an agent's terms; omitted fields stay, and a rate of null means the usual rates again."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    tier: Tier = NOT_SENT
    commission_rate: Rate | None = NOT_SENT

    @model_validator(mode="after")
    def _check_not_empty(self) -> "AgentChange":
        if not self.model_fields_set:
            raise PydanticCustomError("empty", "names nothing to change")
        return self


class AgentQuery(PageQuery):
    """The filters of the list of agents."""

    status: AgentState | None = None


class AgentView(ResponseModel):
    """An agent; members name the referral code when they register."""

    id: UUID
    state: AgentState
    full_name: str
    email: str
    phone: str
    city: str
    language: Language
    tier: Tier
    referral_code: str
    created_at: datetime
    version: int


class DecisionView(ResponseModel):
    """The latest decision about a record: why, by which account (null for old decisions) and when."""

    reason: str | None
    decided_by: UUID | None
    decided_at: datetime


class AgentDetails(AgentView):
    """An agent with the agreed rate (null: the usual rates); only staff see `decision`."""

    commission_rate: str | None
    decision: DecisionView | None = None


class ClientView(ResponseModel):
    """A client as shown to their agent: nothing about claims."""

    id: UUID
    number: str
    full_name: str
    membership_state: Literal["active", "past_due", "paused", "canceled", "expired"]
    membership_ends_on: date


class CommissionView(ResponseModel):
    """The amount that an agent earns by one period of one client's membership."""

    id: UUID
    kind: Literal["new", "renewal"]
    state: CommissionState
    rate: str
    amount: str
    currency: str
    member_number: str
    created_at: datetime


class CommissionQuery(PageQuery):
    """The filters of the list of commissions."""

    state: CommissionState | None = None
    agent: RecordId | None = None
    month: Month | None = None


class CommissionDecision(RequestModel):
    """A decision of staff about a commission, with its reason."""

    decision: CommissionVerb
    reason: Reason


class MemberReference(ResponseModel):
    """The member whose membership earned the commission."""

    id: UUID
    number: str


class EarningAgent(ResponseModel):
    """The agent who earns the commission."""

    id: UUID
    full_name: str


class CommissionDetails(ResponseModel):
    """A commission for staff; `earned_on` decides its month."""

    id: UUID
    kind: Literal["new", "renewal"]
    state: CommissionState
    rate: str
    amount: str
    currency: str
    earned_on: date
    period_starts_on: date
    agent: EarningAgent
    member: MemberReference
    decision: DecisionView | None
    statement_number: str | None
    created_at: datetime


class PayoutRequest(RequestModel):
    """The month to pay."""

    month: Month


class StatementLine(ResponseModel):
    """One commission that was paid."""

    commission_id: UUID
    kind: Literal["new", "renewal"]
    member_number: str
    earned_on: date
    rate: str
    amount: str


class StatementView(ResponseModel):
    """The statement of one run for one agent: `total` is the sum of its lines."""

    number: str
    payout_id: UUID
    month: str
    issued_on: date
    agent: EarningAgent
    lines: list[StatementLine]
    total: str
    currency: str


class PayoutSummary(ResponseModel):
    """A payout run and its total."""

    id: UUID
    month: str
    statement_count: int
    commission_count: int
    total: str
    currency: str
    made_by: UUID
    created_at: datetime


class PayoutView(PayoutSummary):
    """A payout run with its statements, by their numbers."""

    statements: list[StatementView]
