"""The headers of requests and answers in the API's description."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from shared.admission.ports import KEY_LIFE_S
from shared.api.operation import Operation
from shared.api.parsing import KEY_PATTERN
from shared.api.problem_answers import INVALID_REQUEST_STATUSES
from tools.openapi.story.ids import REQUEST

JSON = dict[str, Any]

_NUMBER = {"type": "string", "pattern": "^[0-9]+$"}
_TEXT = {"type": "string"}

# `required` marks what every answer that lists the header has.
HEADERS: Mapping[str, JSON] = {
    "X-Request-Id": {
        "description": "The request's id, for questions about it.",
        "required": True,
        "schema": _TEXT,  # an id of ours is a UUID, one of API Gateway's own answers is not
        "example": REQUEST,
    },
    "ETag": {
        "description": "The record's version. Send it as If-Match to change the record only if nobody else has.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[1-9][0-9]*"$'},
        "example": '"1"',
    },
    "Location": {
        "description": "The path of the record that was made or renewed.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/api/claims/01a1a040-2200-711e-8f67-8d111738f7d9",
    },
    "Retry-After": {
        "description": "Seconds to wait before the same request may be repeated, with the same Idempotency-Key.",
        "schema": _NUMBER,
        "example": "2",
    },
    "RateLimit": {
        "description": (
            "What is left of the limit named: `r` requests; one more is free in `t` seconds. Repeats of a request that"
            " was answered cost nothing and don't have it (draft-ietf-httpapi-ratelimit-headers)."
        ),
        "schema": {"type": "string", "pattern": '^"[a-z-]+";r=[0-9]+;t=[0-9]+$'},
        "example": '"claim-submission";r=4;t=120',
    },
    "RateLimit-Policy": {
        "description": "The limit that counted the request: `q` requests in a window of `w` seconds.",
        "schema": {"type": "string", "pattern": '^"[a-z-]+";q=[0-9]+;w=[0-9]+$'},
        "example": '"claim-submission";q=5;w=600',
    },
    "Idempotency-Replayed": {
        "description": "`true` if this is the first answer to the Idempotency-Key again: nothing was done twice.",
        "schema": {"type": "string", "const": "true"},
        "example": "true",
    },
    "Link": {
        "description": "The page of the problem, and further ones on its subject.",
        "schema": _TEXT,
        "example": '</api/docs#problem-not-found>; rel="describedby"; type="text/html"',
    },
    "WWW-Authenticate": {
        "description": "The kind of credentials that is asked for.",
        "schema": _TEXT,
        "example": "Bearer",
    },
    "Allow": {
        "description": "The methods of the path.",
        "required": True,
        "schema": _TEXT,
        "example": "GET, HEAD, POST, OPTIONS",
    },
}

# Operations that answer 201 without the path of what they made: it can be read in a list only.
_WITHOUT_LOCATION = frozenset({"documents.create"})

_KEY_DESCRIPTION = (
    "A new random value for each new request, such as a UUID, and the same one when you repeat it: 1 to 255 visible"
    ' ASCII characters, as a string in quotes or bare ("k" and k are one key).'
    f" It expires {KEY_LIFE_S / 3600:.0f} hours after its first answer."
)
_IF_MATCH_DESCRIPTION = (
    "The ETag of the version that was decided on, or a list of such tags, of which one must match;"
    " * matches whatever version there is. Weak tags (W/…) never match."
)
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": _KEY_DESCRIPTION,
    "schema": {"type": "string", "pattern": KEY_PATTERN},
    "example": "5f0c1d5e-2b2c-4a5e-9d6b-7a6f3f3c9a10",
}
PARAMETERS: Mapping[str, JSON] = {
    "IdempotencyKey": {**_KEY, "required": True},
    "OptionalIdempotencyKey": {**_KEY, "required": False},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": _IF_MATCH_DESCRIPTION,
    "schema": {"type": "string", "pattern": '^"[1-9][0-9]{0,8}"$'},
    "example": '"1"',
}


def list_request_headers(operation: Operation, answer: Any) -> list[JSON]:
    """Return the headers that an operation takes; `answer` is the example of its answer, which the story leads to."""
    headers: list[JSON] = []
    if operation.is_write:
        name = "IdempotencyKey" if operation.key == "required" else "OptionalIdempotencyKey"
        headers.append({"$ref": f"#/components/parameters/{name}"})
    if operation.if_match:
        headers.append({**_IF_MATCH, "example": _make_tag(answer["version"] - 1)} if answer else _IF_MATCH)
    return headers


def build_success_headers(operation: Operation, answer: Any) -> JSON:
    """Return the headers of the answer to a call that succeeds; `answer` is its example."""
    names = ["X-Request-Id"]
    if operation.answer is not None and _is_versioned(operation):
        names.append("ETag")
    if operation.status == HTTPStatus.CREATED and operation.operation_id not in _WITHOUT_LOCATION:
        names.append("Location")
    if operation.limit is not None:
        names += ["RateLimit", "RateLimit-Policy"]
    if operation.is_write:
        names.append("Idempotency-Replayed")
    headers = _refer_to_headers(names)
    if answer and "ETag" in headers:
        headers["ETag"] = {**HEADERS["ETag"], "example": _make_tag(answer["version"])}
    if answer and "Location" in headers:
        headers["Location"] = {**HEADERS["Location"], "example": _make_location(operation, answer)}
    return headers


def build_problem_headers(status: int, problems: list[str]) -> JSON:
    """Return references to the headers of answers with a status, which describe one of the problems."""
    names = ["X-Request-Id", "Link"]
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE) or "request-in-progress" in problems:
        names.append("Retry-After")
    # What can't be read counts against a limit of its own.
    if status == HTTPStatus.TOO_MANY_REQUESTS or status in INVALID_REQUEST_STATUSES:
        names += ["RateLimit", "RateLimit-Policy"]
    if status == HTTPStatus.UNAUTHORIZED:
        names.append("WWW-Authenticate")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        names.append("Allow")
    return _refer_to_headers(names)


def _is_versioned(operation: Operation) -> bool:
    """Return whether the answer is one record with a version: the ETag is this version."""
    field = operation.answer.model_fields.get("version") if operation.answer else None
    return field is not None and field.annotation is int


def _make_tag(version: int) -> str:
    return f'"{version}"'


def _make_location(operation: Operation, answer: Mapping[str, Any]) -> str:
    """Return the path of the record that an answer shows: it is in the first list of the operation's own path."""
    return f"/api/{operation.resource.split('/')[1]}/{answer['id']}"


def _refer_to_headers(names: list[str]) -> JSON:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
