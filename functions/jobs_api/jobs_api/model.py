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
ListedState = Literal["pending", "running", "uncertain", "failed", "dismissed"]
# Why a job is not done: a code, like `last_error`.
Reason = Literal[
    "due", "circuit-open", "mail-rate", "retry", "running", "done", "given-up", "outcome-unknown", "dismissed"
]
# A code, not a text, since the audit keeps it for ever, and text about people belongs to their records.
DismissalReason = Literal["delivered", "handled-otherwise", "not-needed", "undeliverable"]


class JobQuery(PageQuery):
    """The filter of the list; `pending` are all jobs that have not begun, those that are queued for a worker too."""

    state: ListedState = Field(default="failed", description="Only jobs in this state.")


class Dismissal(RequestModel):
    """The reason for dismissing a job.

    `delivered`: it was done after all. `handled-otherwise`: a person has done it. `not-needed`: nobody needs it any
    more. `undeliverable`: it can't be done.
    """

    reason: DismissalReason = Field(description="Why nobody needs to do the job any more.")


class JobView(ResponseModel):
    """A job, without the names, addresses and texts in it.

    `reason` says why the job is not done. `due`: its turn comes. `circuit-open`: its service is not called, since it
    failed or operators hold its circuit open. `mail-rate`: no more mails may leave now. `retry`: an attempt failed.
    `given-up`: no attempt is left, or the service refused it. `outcome-unknown`: it may have been done.
    """

    id: UUID = Field(description="The id of the job, which paths take.")
    kind: JobKind = Field(description="What the job does.")
    template: str | None = Field(description="Which mail it is, like claim-received; null if the job sends none.")
    priority: JobPriority = Field(description="How soon it is done, compared with others.")
    state: JobState = Field(description="How far it is.")
    attempts: int = Field(description="How often it was begun since it was written, or last replayed.")
    last_error: str | None = Field(
        description="What the last attempt ended with, as a code, like unavailable; null if none has failed."
    )
    # Fields with a default are missing in answers stored by earlier versions.
    dismissal: DismissalReason | None = Field(default=None, description="Why it was dismissed; null if it was not.")
    reason: Reason | None = Field(default=None, description="Why the job is not done.")
    age_s: float | None = Field(default=None, description="Seconds since it was written.")
    due_at: datetime | None = Field(
        default=None, description="The earliest time of the next attempt; null unless `state` is pending."
    )
    subject_id: UUID = Field(description="The id of the record that it is about, such as the claim of a mail.")
    created_at: datetime = Field(description="When it was written, together with the change that caused it.")
    updated_at: datetime = Field(description="When its state last changed.")
