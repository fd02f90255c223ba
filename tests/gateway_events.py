"""Events as the local gateway and its event sources build them, for handlers that tests call themselves."""

import itertools
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from local.events.event_payloads import build_sqs_event
from local.gateway.proxy_event import GatewayRequest, build_proxy_event
from local.gateway.routes import RouteMatch
from local.http_server import HttpRequest
from local.stack import DeployedRoute

QUEUE_ARN = "arn:aws:sqs:eu-central-1:000000000000:queue"
STAGE = "api"
_serial = itertools.count(1)


def build_request_event(
    method: str,
    resource: str,
    body: str | None = None,
    *,
    ids: Mapping[str, str] | None = None,
    query: Mapping[str, list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
    claims: Mapping[str, str] | None = None,
    source_ip: str = "127.0.0.9",
    base_path: str = f"/{STAGE}",
    base64: bool = False,
) -> dict[str, Any]:
    """Return the event of a request, with a request id of its own each time.

    Query and body are handed on as they are: a test may send what no gateway would have let through.
    """
    path = re.sub(r"{(\w+)\+?}", lambda part: (ids or {}).get(part[1], ""), resource)
    request = HttpRequest(method, base_path + path, "", list((headers or {}).items()), source_ip)
    request_id = f"request-{next(_serial)}"
    call = GatewayRequest(
        request, request_id, request_id, "Root=1-00000000-000000000000000000000000", STAGE, path, time.time()
    )
    route = DeployedRoute(method, resource, "", authorized=claims is not None, rate=None, burst=None)
    built = build_proxy_event(call, route, RouteMatch({}, dict(ids or {})), claims or None, [], 443)
    event: dict[str, Any] = json.loads(built)
    return {**event, "multiValueQueryStringParameters": query or None, "body": body, "isBase64Encoded": base64}


def build_batch_event(*bodies: str, received: int = 1) -> dict[str, Any]:
    """Return the event of a batch of messages received `received` times; the id and receipt of each is its place."""
    messages = [
        {
            "MessageId": str(number),
            "ReceiptHandle": str(number),
            "Body": body,
            "Attributes": {"ApproximateReceiveCount": str(received)},
        }
        for number, body in enumerate(bodies)
    ]
    return build_sqs_event(messages, QUEUE_ARN)
