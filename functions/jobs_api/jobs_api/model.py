"""The input and the answers of the jobs' API."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.fields import RequestModel, ResponseModel
from shared.fields.pagination import PageQuery

TroubledState = Literal["failed", "uncertain", "dismissed"]
# A code and no text, since the audit keeps it for ever: what is said of people belongs to their records.
DismissalReason = Literal["delivered", "handled-otherwise", "not-needed", "undeliverable"]


class JobQuery(PageQuery):
    """The filter of the list: failed jobs, those that nobody knows to have been done, or dismissed ones."""

    state: TroubledState = "failed"


class Dismissal(RequestModel):
    """The reason for giving a job up for ever.

    `delivered`: it was done after all. `handled-otherwise`: a person has done it. `not-needed`: nobody needs it any
    more. `undeliverable`: it can't be done.
    """

    reason: DismissalReason


class JobView(ResponseModel):
    """A job; what it says to whom stays out of it. `last_error` is a code."""

    id: UUID
    kind: Literal["mail", "identity"]
    template: str | None
    priority: Literal["high", "normal", "low"]
    state: Literal["pending", "queued", "running", "done", "failed", "uncertain", "dismissed"]
    attempts: int
    last_error: str | None
    dismissal: DismissalReason | None = None  # answers that were kept before jobs could be dismissed have none
    subject_id: UUID
    created_at: datetime
    updated_at: datetime
