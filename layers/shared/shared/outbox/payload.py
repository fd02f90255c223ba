"""The payload of a job: the only place that knows its format, in Python and in SQL (payload.sql).

A mail     {"template": …, "to": "account:<id>" or "desk", "facts": {…}}
A sign-in  {"account_id": …, "group": …}
Both       {"origin": {"request_id": …, "traceparent": …}}, the request that wrote the job and its span

Use cases give only the facts that no row holds. The database adds those of the rows when the job is written, and
deletes all facts when the job is done (migrations/0020).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.sql import load_queries
from shared.tracing import Trace, begin_trace, get_trace

# Parts of statements: load_queries replaces `{enqueue_mails}` in a statement by the part of that name.
PAYLOAD_SQL = load_queries("shared.outbox", "payload.sql")

_DESK = "desk"


@dataclass(frozen=True, slots=True)
class MailPayload:
    """A mail to write: its template, its recipient, and facts of the event that it tells of."""

    template: str
    to: str
    facts: Mapping[str, Any]

    @classmethod
    def to_account(cls, template: str, account_id: UUID | None, facts: Mapping[str, Any]) -> "MailPayload":
        """Return a mail to an account, or to the claims desk if `account_id` is None."""
        return cls(template, _DESK if account_id is None else f"account:{account_id}", facts)

    @property
    def is_to_desk(self) -> bool:
        """Return whether the mail goes to the claims desk."""
        return self.to == _DESK

    def format_json(self) -> str:
        """Return the payload as it is stored."""
        return json.dumps({"template": self.template, "to": self.to, "facts": self.facts}, ensure_ascii=False)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> "MailPayload":
        """Return the mail of a stored payload; the facts of a sent mail are deleted, so they may be empty."""
        return cls(payload["template"], payload["to"], payload.get("facts", {}))


@dataclass(frozen=True, slots=True)
class IdentityPayload:
    """A sign-in to create: the account, and the group that it gets."""

    account_id: UUID
    group: str

    def format_json(self) -> str:
        """Return the payload as it is stored."""
        return json.dumps({"account_id": str(self.account_id), "group": self.group})

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> "IdentityPayload":
        """Return the sign-in of a stored payload."""
        return cls(UUID(payload["account_id"]), payload["group"])


def format_origin() -> str:
    """Return the origin of the jobs that are written now, as stored: the current trace, or `{}` if there is none."""
    trace = get_trace()
    if trace is None:
        return "{}"
    return json.dumps({"request_id": trace.request_id, "traceparent": trace.span.format_traceparent()})


def continue_trace(payload: Mapping[str, Any], *, job_id: UUID) -> Trace:
    """Return the trace of a job's run: a new span below the one that wrote it.

    A job without an origin begins a trace, and its own id stands for the request's.
    """
    origin = payload.get("origin") or {}
    return begin_trace(str(origin.get("request_id") or job_id), origin.get("traceparent"))
