"""The requests and responses of the jobs API."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from shared.fields import RequestModel, ResponseModel
from shared.fields.pagination import PageQuery

JobKind = Literal["mail", "identity"]
JobPriority = Literal["high", "normal", "low"]
JobState = Literal["pending", "queued", "running", "done", "failed", "uncertain", "dismissed"]
TroubledState = Literal["failed", "uncertain", "dismissed"]
# A code, not a text, since the audit keeps it for ever, and text about people belongs to their records.
DismissalReason = Literal["delivered", "handled-otherwise", "not-needed", "undeliverable"]


class JobQuery(PageQuery):
    """The filter of the list: failed jobs, uncertain ones, or dismissed ones."""

    state: TroubledState = Field(default="failed", description="Only jobs in this state.")


class Dismissal(RequestModel):
    """The reason for dismissing a job.

    `delivered`: it was done after all. `handled-otherwise`: a person has done it. `not-needed`: nobody needs it any
    more. `undeliverable`: it can't be done.
    """

    reason: DismissalReason


class JobView(ResponseModel):
    """A job without its content. `last_error` is a code."""

    id: UUID
    kind: JobKind
    template: str | None
    priority: JobPriority
    state: JobState
    attempts: int
    last_error: str | None
    dismissal: DismissalReason | None = None  # missing in answers stored by earlier versions
    subject_id: UUID
    created_at: datetime
    updated_at: datetime
