"""The event of a Lambda proxy integration (REST API, payload 1.0), built from a request."""

import base64
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from local.gateway.routes import RouteMatch
from local.http_server import HttpRequest
from local.runtime.lineage import remove_lineage
from local.runtime.variables import ACCOUNT
from local.stack import DeployedRoute

API_ID = "local"
# headers that API Gateway does not pass to an integration
DROPPED = frozenset(
    {
        *("connection", "content-length", "content-md5", "expect", "max-forwards", "proxy-authenticate", "server"),
        *("te", "trailer", "transfer-encoding", "upgrade", "www-authenticate"),
        *("x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"),  # replaced below
    }
)
NOBODY = {
    "accessKey": None,
    "accountId": None,
    "caller": None,
    "cognitoAuthenticationProvider": None,
    "cognitoAuthenticationType": None,
    "cognitoIdentityId": None,
    "cognitoIdentityPoolId": None,
    "principalOrgId": None,
    "user": None,
    "userArn": None,
}

# "Clients can override this request ID", as AWS documents of $context.requestId, but not $context.extendedRequestId.
CHOSEN_ID = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~`-]{1,128}")


@dataclass(slots=True)
class GatewayRequest:
    """A request with its ids and the time it was received (seconds since the epoch)."""

    request: HttpRequest
    request_id: str  # the client's own id, if it sent one
    own_id: str  # an id that no client can choose
    trace_id: str
    stage: str
    path: str
    received_at: float

    @classmethod
    def from_request(cls, request: HttpRequest, *, stage: str, path: str) -> "GatewayRequest":
        """Return the request with its ids; continue a trace that the client began, and take a request id it chose."""
        now = time.time()
        own_id, chosen = str(uuid4()), request.find_header("x-amzn-requestid") or ""
        request_id = chosen if CHOSEN_ID.fullmatch(chosen) else own_id
        begun = remove_lineage(request.find_header("x-amzn-trace-id") or "")
        trace_id = begun or f"Root=1-{int(now):08x}-{uuid4().hex[:24]}"
        return cls(request, request_id, own_id, trace_id, stage, path, now)

    def build_context(self, resource: str = "") -> dict[str, str]:
        """Return the `$context` variables that gateway responses may use."""
        return {
            "requestId": self.request_id,
            "extendedRequestId": self.own_id,
            "httpMethod": self.request.method,
            "path": self.request.path,
            "resourcePath": resource,
            "stage": self.stage,
            "identity.sourceIp": self.request.peer,
        }


def is_binary(content_type: str, binary_media_types: list[str]) -> bool:
    """Return whether the API treats a media type as binary (`*/*` and `image/*` are patterns)."""
    media_type = content_type.partition(";")[0].strip().lower()
    return any(pattern == "*/*" or fnmatchcase(media_type, pattern.lower()) for pattern in binary_media_types)


def build_proxy_event(
    call: GatewayRequest,
    route: DeployedRoute,
    match: RouteMatch,
    claims: Mapping[str, str] | None,
    binary: list[str],
    port: int,
) -> bytes:
    """Return the event as JSON."""
    request = call.request
    headers = _build_headers(call, port)
    query = parse_qsl(request.query, keep_blank_values=True, errors="replace", max_num_fields=None)
    as_base64 = bool(request.body) and is_binary(request.find_header("content-type") or "", binary)
    event = {
        "resource": route.resource,
        "path": call.path,
        "httpMethod": request.method,
        "headers": dict(headers),
        "multiValueHeaders": _group_values(headers),
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": _group_values(query) or None,
        "pathParameters": match.parameters or None,
        "stageVariables": None,
        "requestContext": _build_request_context(call, route, claims),
        "body": _encode_body(request.body, as_base64=as_base64),
        "isBase64Encoded": as_base64,
    }
    return json.dumps(event).encode()


def _build_headers(call: GatewayRequest, port: int) -> list[tuple[str, str]]:
    forwarded = call.request.find_header("x-forwarded-for")
    return [
        *(pair for pair in call.request.headers if pair[0].lower() not in DROPPED),
        ("X-Amzn-Trace-Id", call.trace_id),
        ("X-Forwarded-For", f"{forwarded}, {call.request.peer}" if forwarded else call.request.peer),
        ("X-Forwarded-Port", str(port)),
        ("X-Forwarded-Proto", "http"),
    ]


def _group_values(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _encode_body(body: bytes, *, as_base64: bool) -> str | None:
    if not body:
        return None
    return base64.b64encode(body).decode() if as_base64 else body.decode("utf-8", "replace")


def _build_request_context(
    call: GatewayRequest, route: DeployedRoute, claims: Mapping[str, str] | None
) -> dict[str, Any]:
    request = call.request
    domain = request.find_header("host") or ""
    context = {
        "accountId": ACCOUNT,
        "apiId": API_ID,
        "deploymentId": API_ID,
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "extendedRequestId": call.own_id,
        "httpMethod": request.method,
        "identity": {**NOBODY, "sourceIp": request.peer, "userAgent": request.find_header("user-agent")},
        "path": request.path,
        "protocol": f"HTTP/{request.version}",
        "requestId": call.request_id,
        "requestTime": datetime.fromtimestamp(call.received_at, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(call.received_at * 1000),
        "resourceId": f"{route.method} {route.resource}",
        "resourcePath": route.resource,
        "stage": call.stage,
    }
    return context if claims is None else {**context, "authorizer": {"claims": claims}}
