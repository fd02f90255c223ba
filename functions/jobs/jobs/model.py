"""What admins ask of jobs and are told."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.http.pages import PageQuery
from shared.text import View

TroubledState = Literal["failed", "uncertain"]


class JobQuery(PageQuery):
    """The filter of the list of jobs: those that failed, or those of which nobody knows whether they were done."""

    state: TroubledState = "failed"


class JobView(View):
    """A job; what it says to whom stays out of it. `last_error` is a code."""

    id: UUID
    kind: Literal["mail", "identity"]
    template: str | None
    priority: Literal["high", "normal", "low"]
    state: Literal["pending", "queued", "running", "done", "failed", "uncertain"]
    attempts: int
    last_error: str | None
    subject_id: UUID
    created_at: datetime
    updated_at: datetime
