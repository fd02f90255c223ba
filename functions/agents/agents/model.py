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
Reason = Annotated[str, make_prose_format(2, 1000, about="Why it is decided so")]

# The default of a field that may be omitted. Pydantic does not validate defaults: an omitted field becomes None, but a
# null that was sent is refused unless the field's type allows it.
NOT_SENT: Any = None


class AgentApplication(RequestModel):
    """An application to become an agent."""

    full_name: PersonName
    email: Email
    phone: Phone
    city: PlaceName = Field(description="The city where the applicant lives or works; has a letter.")
    language: Language = Field(description="The language of the mails to the applicant.")
    terms_version: TermsVersion = Field(
        description="The version of the terms that the applicant has accepted, like 2026-01."
    )


class AgentDecision(RequestModel):
    """A decision of staff about an agent, with its reason."""

    decision: AgentDecisionKind = Field(
        description="What is decided; the state of the agent decides which of them are allowed."
    )
    reason: Reason


class AgentChange(RequestModel):
    """Changes to an agent's terms; omitted fields stay.

    A `commission_rate` of null restores the standard rates of new and of renewal commissions.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    tier: Tier = Field(default=NOT_SENT, description="The new tier; it is shown, and commissions do not depend on it.")
    commission_rate: Rate | None = Field(
        default=NOT_SENT,
        description="The share of prices that the agent earns, from 0 to 1: 0.25 is 25 %. Null: the standard rates.",
    )

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

    id: UUID = Field(description="The id of the agent, which paths and filters take.")
    state: AgentState = Field(description="Where the agent stands: only one who is active brings in members.")
    full_name: str = Field(description="The name of the agent, as given in the application.")
    email: str = Field(description="The address for mails and for signing in, in lower case.")
    phone: str = Field(description="The phone number in E.164, like +38344555111.")
    city: str = Field(description="The city where the agent lives or works.")
    language: Language = Field(description="The language of the mails to the agent.")
    tier: Tier = Field(description="The tier that admins gave the agent; an application has the standard one.")
    referral_code: str = Field(
        description="What new members give when they register, so that the agent earns a commission; like ARTA-7K3F."
    )
    created_at: datetime = Field(description="When the agent applied.")
    version: int = Field(description="1 at first, and 1 more after each change. The ETag is this number in quotes.")


class DecisionView(ResponseModel):
    """The latest decision about a record: why, by which account, and when.

    `decided_by` is null if no account decided, for example when a commission was voided because its membership was
    canceled, and for decisions made before `decided_by` was recorded.
    """

    reason: str | None = Field(description="Why it was decided so, in the words of staff; null if none was recorded.")
    decided_by: UUID | None = Field(description="The id of the account that decided; null if none did.")
    decided_at: datetime = Field(description="When it was decided.")


class AgentDetails(AgentView):
    """An agent as shown to staff and to the agent.

    `decision` is shown only to staff; it is null for the agent, and if nothing has been decided yet. `commission_rate`
    is the agreed rate; null means the standard rates of new and of renewal commissions.
    """

    commission_rate: str | None = Field(
        description="The agreed share of the price, from 0 to 1, like 0.25 for 25 %; null for the standard rates."
    )
    decision: DecisionView | None = Field(
        default=None,
        description="The latest decision of staff about the agent, shown to staff only; null if there is none.",
    )


class ClientView(ResponseModel):
    """A member who registered with the agent's code, as shown to the agent.

    The cases that the member has filed (claims) are private, so they are not shown.
    """

    id: UUID = Field(description="The id of the member.")
    number: str = Field(description="The number of the member, like MEM-2026-000123, which people quote.")
    full_name: str = Field(description="The name of the member.")
    membership_state: Literal["active", "past_due", "paused", "canceled", "expired"] = Field(
        description="The state of the membership on the day of the call."
    )
    membership_ends_on: date = Field(description="The last day of the membership, included.")


class CommissionView(ResponseModel):
    """The amount that an agent earns by one period of one client's membership, as shown to the agent."""

    id: UUID = Field(description="The id of the commission.")
    kind: CommissionKind = Field(description="What it was earned by: a new membership, or a renewal.")
    state: CommissionState = Field(description="How far it is on its way to being paid.")
    rate: str = Field(description="The share of the price, from 0 to 1, like 0.2000 for 20 %.")
    amount: str = Field(description="What the agent earns: the price times the rate, like 7.00.")
    currency: str = Field(description="The currency of the amount, by its code in ISO 4217.")
    member_number: str = Field(description="The number of the member whose membership earned it, like MEM-2026-000123.")
    created_at: datetime = Field(description="When the member registered, or the membership was renewed.")


class CommissionQuery(PageQuery):
    """The filters of the list of commissions."""

    state: CommissionState | None = Field(default=None, description="Only commissions in this state.")
    agent: RecordId | None = Field(default=None, description="Only commissions of the agent with this id.")
    month: Month | None = Field(default=None, description="Only commissions that were earned in this month.")


class CommissionDecision(RequestModel):
    """A decision of staff about a commission, with its reason."""

    decision: CommissionDecisionKind = Field(description="Whether the commission will be paid.")
    reason: Reason


class MemberReference(ResponseModel):
    """The member whose membership earned the commission."""

    id: UUID = Field(description="The id of the member.")
    number: str = Field(description="The number of the member, like MEM-2026-000123.")


class EarningAgent(ResponseModel):
    """The agent who earns the commission."""

    id: UUID = Field(description="The id of the agent.")
    full_name: str = Field(description="The name of the agent.")


class CommissionDetails(ResponseModel):
    """A commission as shown to staff; the `month` filter of the list selects by `earned_on`."""

    id: UUID = Field(description="The id of the commission.")
    kind: CommissionKind = Field(description="What it was earned by: a new membership, or a renewal.")
    state: CommissionState = Field(description="How far it is on its way to being paid.")
    rate: str = Field(description="The share of the price, from 0 to 1, like 0.2000 for 20 %.")
    amount: str = Field(description="What the agent earns: the price times the rate, like 7.00.")
    currency: str = Field(description="The currency of the amount, by its code in ISO 4217.")
    earned_on: date = Field(
        description="The day of the registration or renewal; the month filter and payout runs go by it."
    )
    period_starts_on: date = Field(description="The first day of the year of membership that it was earned by.")
    agent: EarningAgent = Field(description="Who earns it.")
    member: MemberReference = Field(description="Whose membership earned it.")
    decision: DecisionView | None = Field(description="Who approved or voided it, and why; null while nobody has.")
    statement_number: str | None = Field(
        description="The statement by which it was paid, like PAY-2026-000012; null until it is paid."
    )
    created_at: datetime = Field(description="When it was recorded.")


class PayoutRequest(RequestModel):
    """The month of a payout run, which pays the approved commissions earned in it or in an earlier month."""

    month: Month = Field(description="The last month whose commissions are paid, like 2026-11; it has to be over.")


class StatementLine(ResponseModel):
    """One commission that was paid."""

    commission_id: UUID = Field(description="The id of the commission that was paid.")
    kind: CommissionKind = Field(description="What it was earned by: a new membership, or a renewal.")
    member_number: str = Field(description="The number of the member whose membership earned it, like MEM-2026-000123.")
    earned_on: date = Field(description="The day of the registration or renewal.")
    rate: str = Field(description="The share of the price, from 0 to 1, like 0.2000 for 20 %.")
    amount: str = Field(description="What was paid for it, in the currency of the statement, like 7.00.")


class StatementView(ResponseModel):
    """The statement of one payout run for one agent; `total` is the sum of its lines."""

    number: str = Field(description="The number of the statement, like PAY-2026-000012.")
    payout_id: UUID = Field(description="The id of the payout run that made it.")
    month: str = Field(description="The last month whose commissions it pays, like 2026-11.")
    issued_on: date = Field(description="The day on which the payout run was made.")
    agent: EarningAgent = Field(description="Whom it pays.")
    lines: list[StatementLine] = Field(description="The commissions that it pays.")
    total: str = Field(description="The sum of the lines, like 7.00.")
    currency: str = Field(description="The currency of the total and of all lines, by its code in ISO 4217.")


class PayoutSummary(ResponseModel):
    """A payout run and its total."""

    id: UUID = Field(description="The id of the payout run.")
    month: str = Field(description="The last month whose commissions it paid, like 2026-11.")
    statement_count: int = Field(
        description="How many statements it made: one for each agent who had approved commissions."
    )
    commission_count: int = Field(description="How many commissions it paid.")
    total: str = Field(description="The sum of its statements, like 7.00.")
    currency: str = Field(description="The currency of the total, by its code in ISO 4217.")
    made_by: UUID = Field(description="The id of the account of the admin who made it.")
    created_at: datetime = Field(description="When it was made.")


class PayoutView(PayoutSummary):
    """A payout run with its statements, ordered by number."""

    statements: list[StatementView] = Field(description="A statement for each agent who was paid.")
