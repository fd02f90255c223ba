"""The requests and responses of the agents API."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

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
    make_rule_error,
)
from shared.fields.pagination import PageQuery

AgentState = Literal["pending", "active", "suspended", "rejected"]
AgentDecisionKind = Literal["approve", "reject", "suspend", "reinstate"]
# Stored and shown; commission rates do not depend on it.
Tier = Literal["standard", "premium", "vip"]
CommissionKind = Literal["new", "renewal"]
CommissionState = Literal["pending", "approved", "paid", "void"]
CommissionDecisionKind = Literal["approve", "void"]

# The database stores rates with four decimals.
Rate = Annotated[str, TextFormat(r"^(0(\.[0-9]{1,4})?|1(\.0{1,4})?)$", 'a rate from "0" to "1" with at most 4 places')]
# Accept only the years 2000 to 2099: any other year is a typing error.
Month = Annotated[str, TextFormat(r"^20[0-9]{2}-(0[1-9]|1[0-2])$", "a month, like 2026-11")]
Reason = Annotated[str, make_prose_format(2, 1000)]

# The default of a field that may be omitted. Pydantic does not validate defaults: an omitted field becomes None, but a
# null that was sent is refused unless the field's type allows it.
NOT_SENT: Any = None


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

    decision: AgentDecisionKind
    reason: Reason


class AgentChange(RequestModel):
    """Changes to an agent's terms; omitted fields stay.

    A `commission_rate` of null restores the standard rates of new and of renewal commissions.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    tier: Tier = NOT_SENT
    commission_rate: Rate | None = NOT_SENT

    @model_validator(mode="after")
    def _check_not_empty(self) -> "AgentChange":
        if not self.model_fields_set:
            raise make_rule_error(f"names nothing to change: send one of {', '.join(type(self).model_fields)} at least")
        return self


class AgentQuery(PageQuery):
    """The filter of the list of agents."""

    state: AgentState | None = Field(default=None, description="Only agents in this state.")
    status: AgentState | None = Field(
        default=None,
        description="The name of `state` before; it ends with the next release. Ignored if `state` is given.",
        json_schema_extra={"deprecated": True},  # pydantic's own mark would warn at each call
    )


class AgentView(ResponseModel):
    """An agent as shown to the applicant.

    `referral_code` is what new members give when they register, so that the agent earns a commission.
    """

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
    """The latest decision about a record: why, by which account, and when.

    `decided_by` is null if no account decided, for example when a commission was voided because its membership was
    canceled, and for decisions made before `decided_by` was recorded.
    """

    reason: str | None
    decided_by: UUID | None
    decided_at: datetime


class AgentDetails(AgentView):
    """An agent as shown to staff and to the agent.

    `decision` is shown only to staff; it is null for the agent, and if nothing has been decided yet. `commission_rate`
    is the agreed rate; null means the standard rates of new and of renewal commissions.
    """

    commission_rate: str | None
    decision: DecisionView | None = None


class ClientView(ResponseModel):
    """A member who registered with the agent's code, as shown to the agent.

    The cases that the member has filed (claims) are private, so they are not shown.
    """

    id: UUID
    number: str
    full_name: str
    membership_state: Literal["active", "past_due", "paused", "canceled", "expired"]
    membership_ends_on: date


class CommissionView(ResponseModel):
    """The amount that an agent earns by one period of one client's membership, as shown to the agent."""

    id: UUID
    kind: CommissionKind
    state: CommissionState
    rate: str
    amount: str
    currency: str
    member_number: str
    created_at: datetime


class CommissionQuery(PageQuery):
    """The filters of the list of commissions."""

    state: CommissionState | None = Field(default=None, description="Only commissions in this state.")
    agent: RecordId | None = Field(default=None, description="Only commissions of the agent with this id.")
    month: Month | None = Field(default=None, description="Only commissions that were earned in this month.")


class CommissionDecision(RequestModel):
    """A decision of staff about a commission, with its reason."""

    decision: CommissionDecisionKind
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
    """A commission as shown to staff; the `month` filter of the list selects by `earned_on`."""

    id: UUID
    kind: CommissionKind
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
    """The month of a payout run, which pays the approved commissions earned in it or in an earlier month."""

    month: Month


class StatementLine(ResponseModel):
    """One commission that was paid."""

    commission_id: UUID
    kind: CommissionKind
    member_number: str
    earned_on: date
    rate: str
    amount: str


class StatementView(ResponseModel):
    """The statement of one payout run for one agent; `total` is the sum of its lines."""

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
    """A payout run with its statements, ordered by number."""

    statements: list[StatementView]
