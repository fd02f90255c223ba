"""A function's response, checked as a Lambda proxy integration checks it, and converted to HTTP."""

import base64
import binascii
import json
from typing import Any

from local.gateway.gateway_responses import BAD_ANSWER, BAD_BASE64, GatewayRejection
from local.gateway.proxy_event import is_binary
from local.http_server import HttpResponse
from local.runtime.invocation import InvocationOutcome

FIELDS = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
REMAPPED = frozenset({"connection", "content-length", "date", "server", "www-authenticate", "x-amzn-requestid"})
DROPPED = frozenset({"transfer-encoding"})
CONTROL = {ord(char): " " for char in "\r\n\0"}  # a header value must not begin another header


def build_http_response(
    outcome: InvocationOutcome, *, accept: str, binary: list[str]
) -> HttpResponse | GatewayRejection:
    """Return the HTTP response in an outcome; a rejection if the function failed or returned something else."""
    answer = _parse_payload(outcome)
    if answer is None:
        return BAD_ANSWER
    body = (answer.get("body") or "").encode("utf-8", "replace")
    if answer.get("isBase64Encoded") and is_binary(accept.partition(",")[0], binary):
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error:
            return BAD_BASE64
    return HttpResponse(int(answer["statusCode"]), _read_headers(answer), body)


def _parse_payload(outcome: InvocationOutcome) -> dict[str, Any] | None:
    try:
        answer = json.loads(outcome.payload)
    except ValueError:
        return None
    return answer if outcome.error is None and isinstance(answer, dict) and _is_valid(answer) else None


def _is_valid(answer: dict[str, Any]) -> bool:
    status = answer.get("statusCode")
    single, multi = answer.get("headers") or {}, answer.get("multiValueHeaders") or {}
    return (
        answer.keys() <= FIELDS
        and (isinstance(status, int) or (isinstance(status, str) and status.isdecimal()))
        and 100 <= int(status) <= 599
        and isinstance(answer.get("body"), str | None)
        and isinstance(answer.get("isBase64Encoded"), bool | None)
        and isinstance(single, dict)
        and all(isinstance(value, str | int | float) for value in single.values())
        and isinstance(multi, dict)
        and all(isinstance(values, list) for values in multi.values())
    )


def _read_headers(answer: dict[str, Any]) -> list[tuple[str, str]]:
    multi = {name: list(values) for name, values in (answer.get("multiValueHeaders") or {}).items()}
    for name, value in (answer.get("headers") or {}).items():
        if value not in multi.setdefault(name, []):
            multi[name].append(value)
    pairs = [(_map_name(name), _format_value(value)) for name, values in multi.items() for value in values]
    pairs = [pair for pair in pairs if pair[0].lower() not in DROPPED]
    if not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", "application/json"))
    return pairs


def _map_name(name: str) -> str:
    return f"x-amzn-Remapped-{name}" if name.lower() in REMAPPED else name.translate(CONTROL)


def _format_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).translate(CONTROL)
