"""Responses: what a handler answers, and what goes out to API Gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from shared.admission.ports import StoredAnswer

# On every answer, the gateway's own included (template.yaml): two years of HTTPS alone, and no guessing of types.
SECURITY_HEADERS = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An operation's answer: a view, or raw content with a type of its own; `location` is a path within the API."""

    status: int
    view: BaseModel | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: str | None = None
    location: str | None = None
    facts: Mapping[str, Any] | None = None  # what Operation.make_expiring_part makes the part from that expires


def make_answer(
    view: BaseModel,
    *,
    status: int = 200,
    version: int | None = None,
    location: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Answer:
    """Return an answer with its ETag and Location, where it has them; `facts` where part of it expires."""
    headers = {"ETag": f'"{version}"'} if version is not None else {}
    return Answer(status, view, headers, location=location, facts=facts)


def build_gateway_response(
    answer: StoredAnswer, *, method: str, request_id: str, cors: Mapping[str, str]
) -> dict[str, Any]:
    """Return what Lambda hands API Gateway; `cors` are the headers by which a browser decides."""
    headers = {
        **answer.headers,
        "X-Request-Id": request_id,
        "Cache-Control": answer.headers.get("Cache-Control", "no-store"),
        **SECURITY_HEADERS,
        **cors,
    }
    body = "" if method == "HEAD" else answer.body
    return {"statusCode": answer.status, "headers": headers, "body": body, "isBase64Encoded": False}
