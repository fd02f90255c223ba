"""The catalogue of problems (RFC 9457) by name, and the only place where functions turn errors into HTTP answers."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from shared.admission.ports import StoredAnswer
from shared.errors import DependencyFailed, Refusal, Unavailable
from shared.logging import count_version_failure, describe_failure, logger

URN = "urn:interdomestik:problem:"
MEDIA_TYPE = "application/problem+json"

# No request body of this API has this many fields, and a client with more errors learns enough from the first ones.
MAX_ERRORS = 20
# In characters: a pointer holds names that the client chose.
MAX_POINTER_LENGTH = 200

ABOUT_KEYS = "/docs#idempotency-keys"

# If parsing refuses a request with one of these statuses, the request counts against the rate limit `invalid-request`,
# not against the operation's own (docs/decisions/0019).
INVALID_REQUEST_STATUSES = frozenset({400, 413, 415, 422, 428})


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem: its status, its title, and advice for the client."""

    status: int
    title: str
    detail: str
    docs_path: str = ""  # path of its documentation, relative to the API's base path


CATALOGUE: Mapping[str, ProblemKind] = {
    "malformed-request": ProblemKind(400, "The request can't be read", "Send one JSON object in UTF-8."),
    "idempotency-key-required": ProblemKind(
        400,
        "An Idempotency-Key is required",
        "Send a new random key with each new request, and the same key when you repeat one.",
        docs_path=ABOUT_KEYS,
    ),
    "idempotency-key-malformed": ProblemKind(
        400,
        "The Idempotency-Key can't be read",
        "Send 1 to 255 visible ASCII characters, bare or as one string in quotes.",
        docs_path=ABOUT_KEYS,
    ),
    "unauthenticated": ProblemKind(401, "Sign in first", "Send a valid access token as 'Authorization: Bearer …'."),
    "forbidden": ProblemKind(403, "Not allowed", "Your role does not allow this."),
    "membership-required": ProblemKind(
        403, "A membership is required", "Renew the membership, then submit the claim again."
    ),
    "agent-not-active": ProblemKind(
        403, "The agent is not active", "This is open to agents whose application was approved."
    ),
    "own-commission": ProblemKind(403, "The commission is your own", "Ask another member of staff to decide about it."),
    "not-found": ProblemKind(404, "Not found", "There is no such record, or it is not yours."),
    "method-not-allowed": ProblemKind(405, "Method not allowed", "Use one of the methods listed in Allow."),
    "email-taken": ProblemKind(409, "The email address is in use", "Sign in instead, or use another address."),
    "request-in-progress": ProblemKind(
        409, "The first request is still running", "Repeat the request after Retry-After seconds.", docs_path=ABOUT_KEYS
    ),
    "move-not-allowed": ProblemKind(
        409,
        "The claim's state does not allow this",
        "Read the claim again and choose a transition that its state allows.",
    ),
    "decision-not-allowed": ProblemKind(
        409, "The agent's state does not allow this", "Read the agent again and choose a decision that it allows."
    ),
    "commission-move-not-allowed": ProblemKind(
        409, "The commission's state does not allow this", "Read it again; paid and void are final."
    ),
    "payout-too-early": ProblemKind(409, "The month is not over", "Make its payout run once it has ended."),
    "commission-agent-not-active": ProblemKind(
        409, "The commission's agent is not active", "Approve it once the agent is reinstated, or void it."
    ),
    "commission-member-not-proven": ProblemKind(
        409, "The commission's member has never signed in", "Approve it once the member has signed in, or void it."
    ),
    "membership-ended": ProblemKind(409, "The membership has ended", "Renew it to begin a new year."),
    "membership-paused": ProblemKind(409, "The membership is paused", "Staff resume it; then renew it."),
    "membership-not-running": ProblemKind(
        409, "The membership is not within its period", "Only an active membership can be paused."
    ),
    "pause-days-used": ProblemKind(
        409,
        "The days to pause are used up",
        "Pauses extend a membership by at most 90 days between two renewals.",
    ),
    "renewal-too-early": ProblemKind(
        409,
        "The renewal is too early",
        "A renewed membership may end at most two years from today. Renew it later.",
    ),
    "claim-closed": ProblemKind(409, "The claim is closed", "Ask staff to reopen it before you add documents."),
    "too-many-documents": ProblemKind(
        409, "The claim has ten documents already", "A claim holds at most 10 documents."
    ),
    "document-not-uploaded": ProblemKind(
        409, "Nothing was uploaded", "Upload the file with the form you were given, then complete it."
    ),
    "document-not-available": ProblemKind(
        409, "The document is not available", "Its upload was not completed, or it was rejected."
    ),
    "job-not-failed": ProblemKind(
        409, "The job has not failed", "Only failed and uncertain jobs are replayed or dismissed."
    ),
    "stale-version": ProblemKind(
        412,
        "The record has changed",
        "Read it again, base the change on the new version, and send it with a new Idempotency-Key.",
    ),
    "payload-too-large": ProblemKind(413, "The request is too large", "Send a smaller body."),
    "unsupported-media-type": ProblemKind(415, "Unsupported media type", "Send application/json."),
    "invalid-request": ProblemKind(422, "The request is not valid", "Correct the fields listed in errors."),
    "referral-code-unknown": ProblemKind(422, "The referral code is unknown", "Check the code, or leave it out."),
    "assignee-unknown": ProblemKind(422, "No such staff member", "Send the id of a staff account."),
    "document-mismatch": ProblemKind(
        422,
        "The upload does not match its announcement",
        "It was removed. Announce the file again with its real properties and a new Idempotency-Key.",
    ),
    "idempotency-key-reused": ProblemKind(
        422,
        "The Idempotency-Key was used before",
        "It was sent with another request. Send each new request with a fresh random key, such as a UUID.",
        docs_path=ABOUT_KEYS,
    ),
    "if-match-required": ProblemKind(428, "If-Match is required", "Send the ETag of the version you decided on."),
    "too-many-requests": ProblemKind(429, "Too many requests", "Wait Retry-After seconds."),
    "internal": ProblemKind(
        500,
        "Internal error",
        "Repeat the request with the same Idempotency-Key; if it fails again, report the instance.",
    ),
    "unavailable": ProblemKind(
        503, "Temporarily unavailable", "Repeat the request after Retry-After seconds, with the same Idempotency-Key."
    ),
}


class FieldProblem(BaseModel):
    """One error of one field."""

    pointer: str = Field(
        description="RFC 6901 JSON pointer into the body, or the name of a parameter or header; truncated if too long",
        max_length=MAX_POINTER_LENGTH,
    )
    detail: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(description=f"Stable name of the problem, `{URN}<name>`")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The request's id, as in X-Request-Id")
    errors: list[FieldProblem] | None = Field(default=None, max_length=MAX_ERRORS)


def build_problem_answer(error: BaseException, instance: str, *, base_path: str) -> StoredAnswer:
    """Return the HTTP answer to a request that ended with an error, and log the error if it is a server error.

    `instance` is the request's id; `base_path` is the path under which the API was called.
    """
    problem = describe_problem(error, instance)
    if problem.status >= 500:
        # Unavailable has `what`, DependencyFailed has `code`.
        what = getattr(error, "what", None) or getattr(error, "code", None)
        logger.error("request_failed", extra={"request_id": instance, "what": what, **describe_failure(error)})
        count_version_failure()
    headers = {"Content-Type": MEDIA_TYPE, **problem.headers}
    if problem.docs_path:
        headers["Link"] = f'<{base_path}{problem.docs_path}>; rel="describedby"; type="text/html"'
    return StoredAnswer(problem.status, headers, json.dumps(problem.body, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class ProblemDetails:
    """The parts of an answer to an error; `docs_path` is the path of the documentation below the API's base path."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    docs_path: str = ""


def describe_problem(error: BaseException, instance: str) -> ProblemDetails:
    """Return the problem details of an error.

    An unknown error, or a Refusal whose name is not in the catalogue, becomes `internal` and reveals nothing.
    """
    refusal = _convert_to_refusal(error)
    kind = CATALOGUE[refusal.name]
    body: dict[str, Any] = {
        "type": URN + refusal.name,
        "title": kind.title,
        "status": kind.status,
        "detail": (refusal.detail or kind.detail) + _describe_unlisted(refusal),
        "instance": instance,
    }
    if refusal.errors:
        body["errors"] = [{"pointer": _shorten(e.pointer), "detail": e.detail} for e in refusal.errors[:MAX_ERRORS]]
    return ProblemDetails(kind.status, refusal.headers, body, kind.docs_path)


def _describe_unlisted(refusal: Refusal) -> str:
    more = len(refusal.errors) - MAX_ERRORS
    return f" {more} more errors are not listed." if more > 0 else ""


def _shorten(pointer: str) -> str:
    return pointer if len(pointer) <= MAX_POINTER_LENGTH else pointer[: MAX_POINTER_LENGTH - 1] + "…"


def _convert_to_refusal(error: BaseException) -> Refusal:
    if isinstance(error, Refusal) and error.name in CATALOGUE:
        return error
    if isinstance(error, Unavailable):
        return Refusal("unavailable", headers={"Retry-After": format_retry_after(error.retry_after_s)})
    if isinstance(error, DependencyFailed):
        return Refusal("unavailable", headers={"Retry-After": format_retry_after(1)})
    return Refusal("internal")


def format_retry_after(seconds: float) -> str:
    """Return whole seconds, rounded up, so that a client who waits for them is never too early."""
    return str(max(1, math.ceil(seconds)))


def is_invalid_request(refusal: Refusal) -> bool:
    """Return whether a refusal by the parsing of a request counts against the rate limit `invalid-request`."""
    return refusal.name in CATALOGUE and CATALOGUE[refusal.name].status in INVALID_REQUEST_STATUSES
