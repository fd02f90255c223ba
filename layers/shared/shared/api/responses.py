"""Answers of handlers, and the responses that API Gateway receives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from shared.admission.ports import StoredAnswer

# On every answer, including those of the gateway itself (template.yaml): HTTPS only for two years, no type sniffing.
SECURITY_HEADERS = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An operation's answer: a view, or raw content with its own media type; `location` is a path within the API."""

    status: int
    view: BaseModel | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: str | None = None
    location: str | None = None
    facts: Mapping[str, Any] | None = None  # source of the part that expires, see Operation.make_expiring_part


def make_answer(
    view: BaseModel,
    *,
    status: int = 200,
    version: int | None = None,
    location: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Answer:
    """Return an answer with its ETag and Location, if it has them; `facts` are for an answer of which part expires."""
    headers = {"ETag": f'"{version}"'} if version is not None else {}
    return Answer(status, view, headers, location=location, facts=facts)


def build_gateway_response(
    answer: StoredAnswer, *, method: str, request_id: str, cors: Mapping[str, str]
) -> dict[str, Any]:
    """Return the response that Lambda returns to API Gateway; `cors` are its CORS headers."""
    headers = {
        **answer.headers,
        "X-Request-Id": request_id,
        "Cache-Control": answer.headers.get("Cache-Control", "no-store"),
        **SECURITY_HEADERS,
        **cors,
    }
    body = "" if method == "HEAD" else answer.body
    return {"statusCode": answer.status, "headers": headers, "body": body, "isBase64Encoded": False}
