"""The tables as SQLAlchemy's ORM has them."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import FetchedValue, ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class TableBase(DeclarativeBase):
    """The base of the tables."""


class AccountRow(TableBase):
    """A person."""

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    identity_sub: Mapped[str | None]
    role: Mapped[str]
    email: Mapped[str]
    full_name: Mapped[str]
    phone: Mapped[str]
    language: Mapped[str]
    terms_version: Mapped[str]


class PlanRow(TableBase):
    """What a plan costs."""

    __tablename__ = "plans"

    plan: Mapped[str] = mapped_column(primary_key=True)
    price: Mapped[Decimal]
    currency: Mapped[str]


class MemberRow(TableBase):
    """A member; a trigger makes the number."""

    __tablename__ = "members"

    id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    number: Mapped[str] = mapped_column(server_default=FetchedValue())
    country: Mapped[str]
    registered_on: Mapped[date]
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    version: Mapped[int] = mapped_column(server_default=FetchedValue())
    account: Mapped[AccountRow] = relationship(lazy="joined")
    subscription: Mapped["SubscriptionRow"] = relationship(lazy="joined")

    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - as SQLAlchemy documents it


class SubscriptionRow(TableBase):
    """A membership."""

    __tablename__ = "subscriptions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id"))
    plan: Mapped[str]
    state: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    anchor_on: Mapped[date]
    period_starts_on: Mapped[date]
    renewed_on: Mapped[date]
    price: Mapped[Decimal]
    currency: Mapped[str]
    cancel_at_period_end: Mapped[bool] = mapped_column(default=False)

    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012


class ClaimRow(TableBase):
    """A claim; a trigger makes the number."""

    __tablename__ = "claims"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(server_default=FetchedValue())
    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id"))
    submitted_on: Mapped[date]
    state: Mapped[str] = mapped_column(default="submitted")
    category: Mapped[str]
    title: Mapped[str]
    company_name: Mapped[str]
    description: Mapped[str]
    incident_date: Mapped[date]
    incident_country: Mapped[str]
    amount: Mapped[Decimal]
    currency: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    updated_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012


class HistoryRow(TableBase):
    """A state of a claim."""

    __tablename__ = "claim_history"

    claim_id: Mapped[UUID] = mapped_column(ForeignKey("claims.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    to_state: Mapped[str]
    actor_role: Mapped[str]
    actor_id: Mapped[UUID]


class OutboxRow(TableBase):
    """A job."""

    __tablename__ = "outbox"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    priority: Mapped[str]
    subject_id: Mapped[UUID]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)


class AuditRow(TableBase):
    """An entry of the audit."""

    __tablename__ = "audit"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    action: Mapped[str]
    subject_id: Mapped[UUID]
    actor: Mapped[str]
    request_id: Mapped[str]
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
