"""The catalogue of problems (RFC 9457) by name: every problem that an answer can have, with its words."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, Field

URN = "urn:interdomestik:problem:"
MEDIA_TYPE = "application/problem+json"

# No request body of this API has this many fields, and a client with more errors learns enough from the first ones.
MAX_ERRORS = 20
# In characters: a pointer holds names that the client chose.
MAX_POINTER_LENGTH = 200

# Paths of pages, relative to the API's base path; the pages function serves them.
ABOUT_KEYS = "/docs#idempotency-keys"
_ABOUT_A_PROBLEM = "/docs#problem-{name}"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem: its status, its title, and advice for the client."""

    status: int
    title: str
    detail: str
    about: str = ""  # more than the title and the advice, for its page
    docs_path: str = ""  # path of a page on its subject, besides its own


CATALOGUE: Mapping[str, ProblemKind] = {
    "malformed-request": ProblemKind(
        400,
        "The request can't be read",
        "Send one JSON object in UTF-8.",
        about="The detail says at which place the body stops being JSON, or that a header can't be read; `errors` then"
        " names the header.",
    ),
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
    "unauthenticated": ProblemKind(
        401,
        "Sign in first",
        "Send a valid access token as 'Authorization: Bearer …'.",
        about="The detail says whether there is no token, or whether it has expired or is not one of this service.",
    ),
    "forbidden": ProblemKind(
        403,
        "Not allowed",
        "Your role does not allow this.",
        about="The detail says which roles may. Access ends with the account's role, even if a token still names it.",
    ),
    "membership-required": ProblemKind(
        403,
        "A membership is required",
        "Renew the membership, or ask staff to resume it if it is paused; then submit the claim again.",
    ),
    "agent-not-active": ProblemKind(
        403, "The agent is not active", "This is open to agents whose application was approved."
    ),
    "own-commission": ProblemKind(403, "The commission is your own", "Ask another member of staff to decide about it."),
    "not-found": ProblemKind(
        404,
        "Not found",
        "There is no such record, or it is not yours.",
        about="Which of the two is not told, so that ids can't be probed. If the path names something that is not an"
        " id, `errors` says what is wrong with it.",
    ),
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
        409,
        "The agent's state does not allow this",
        "Read the agent again and choose a decision that its state allows.",
    ),
    "commission-move-not-allowed": ProblemKind(
        409,
        "The commission's state does not allow this",
        "Read the commission again and choose a decision that its state allows; paid and void are final.",
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
    "payload-too-large": ProblemKind(
        413,
        "The request is too large",
        "A body may have at most 262,144 bytes (256 KiB).",
        about="The detail says how many bytes the body has, unless it was too large even for the gateway.",
    ),
    "unsupported-media-type": ProblemKind(
        415, "Unsupported media type", "Send application/json in UTF-8, without a Content-Encoding."
    ),
    "invalid-request": ProblemKind(
        422,
        "The request is not valid",
        "Correct the fields listed in errors.",
        about="Each of `errors` has the `pointer` of a field and what is wrong with it. Of a body, the pointer is an"
        " RFC 6901 JSON pointer, such as `/email`, and empty for the body as a whole; of a query, a path or a header it"
        f" is the name. At most {MAX_ERRORS} errors are listed, and the detail says how many are not; pointers are cut"
        f" after {MAX_POINTER_LENGTH} characters. Texts that were sent are never quoted.",
    ),
    "referral-code-unknown": ProblemKind(422, "The referral code is unknown", "Check the code, or leave it out."),
    "assignee-unknown": ProblemKind(
        422, "No such staff member", "Send the id of a staff account, or `me` for your own."
    ),
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
    "too-many-requests": ProblemKind(
        429,
        "Too many requests",
        "Wait Retry-After seconds.",
        about="The detail and the header `RateLimit-Policy` say which limit it is, unless the gateway itself refused"
        " the call.",
    ),
    "internal": ProblemKind(
        500,
        "Internal error",
        "Repeat the request with the same Idempotency-Key; if it fails again, report the instance.",
    ),
    "bad-gateway": ProblemKind(
        502,
        "No usable answer",
        "The service gave no usable answer. Whether the request was carried out is not known: repeat it with the same"
        " Idempotency-Key.",
    ),
    "unavailable": ProblemKind(
        503, "Temporarily unavailable", "Repeat the request after Retry-After seconds, with the same Idempotency-Key."
    ),
    "timeout": ProblemKind(
        504,
        "No answer in time",
        "The service did not answer in time. Whether the request was carried out is not known: repeat it with the same"
        " Idempotency-Key.",
    ),
}


def find_page(name: str) -> str:
    """Return the path of a problem's page, relative to the API's base path."""
    return _ABOUT_A_PROBLEM.format(name=name)


class FieldProblem(BaseModel):
    """One error of one field."""

    pointer: str = Field(
        description="RFC 6901 JSON pointer into the body, or the name of a parameter or header; truncated if too long.",
        max_length=MAX_POINTER_LENGTH,
    )
    detail: str = Field(description="What is wrong with it, in English for a developer.")


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(
        description=f"The name of the problem, `{URN}<name>`: it never changes, so programs may go by it."
    )
    title: str = Field(description="What kind of problem it is, in English; the same each time.")
    status: int = Field(description="The status of the answer (HTTP) again.")
    detail: str = Field(description="What is wrong with this request, and what to do about it.")
    instance: str = Field(description="The request's id, as in X-Request-Id: name it in questions about the request.")
    errors: list[FieldProblem] | None = Field(
        default=None,
        max_length=MAX_ERRORS,
        description="What is wrong with which fields; missing if it is not about fields.",
    )
