"""The events, built as the local gateway and its event sources build theirs, with ids and times that stay the same."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha256
from typing import Any

from local.events.event_payloads import build_scheduled_event, build_sqs_event
from local.gateway.authorizer import SCOPE, convert_claims
from local.gateway.proxy_event import GatewayRequest, build_proxy_event
from local.gateway.routes import RouteMatch
from local.http_server import HttpRequest
from local.runtime.variables import ACCOUNT
from local.stack import DeployedRoute
from local.template import read_template
from shared.aws.sqs import format_message
from shared.ids import parse_id
from tools.events.requests import GROUPS, HIGH_JOB, LOW_JOBS, NORMAL_JOBS, REQUESTS, WRONG_METHODS, SampleRequest
from tools.pages import ROOT

REGION = "eu-central-1"
STAGE = "api"
PORT = 443
CLIENT_ID = "events"  # the app client that the tokens were issued for: USER_POOL_CLIENT_ID where events are invoked
SENT_AT = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
TOKEN_LIFE = timedelta(hours=1)
QUEUES = {
    "QueueHigh": [format_message(parse_id(HIGH_JOB))],
    "QueueNormal": [format_message(parse_id(job)) for job in NORMAL_JOBS],
    "QueueLow": [format_message(parse_id(job)) for job in LOW_JOBS],
    "NudgeQueue": ["{}"],
}
COMMANDS: dict[str, dict[str, str]] = {
    "migrate": {},
    "create-staff": {"email": "drita@example.test", "full_name": "Drita Berisha", "role": "staff", "language": "sq"},
    "remove-staff": {"email": "leaver@example.test"},
    "free-address": {"email": "typed@example.test"},
    "circuits": {},
    "force-circuit": {"name": "storage", "state": "auto"},
    "reconcile-restore": {"restored_to": "2026-01-15T12:00:00Z"},
}
OPERATIONS = "AdminFunction"


class SampleMissing(Exception):
    """A route or trigger has no sample; the message names it."""


@dataclass(frozen=True, slots=True)
class EventFile:
    """An event: its path below events/, the logical id of its function, and what it holds."""

    path: str
    function: str
    event: dict[str, Any]

    @property
    def text(self) -> str:
        """The text of the file."""
        return json.dumps(self.event, indent=2, ensure_ascii=False) + "\n"


def list_events() -> list[EventFile]:
    """Return the event of every route and trigger of template.yaml. Raise SampleMissing."""
    template = read_template((ROOT / "template.yaml").read_text(encoding="utf-8"))
    functions = {k: v["Properties"] for k, v in template["Resources"].items() if v["Type"].endswith("::Function")}
    folders = {name: properties["CodeUri"].rpartition("/")[2] for name, properties in functions.items()}
    made = [
        *list_requests(functions, folders),
        *list_schedules(functions, folders),
        *list_batches(template["Resources"], folders),
        *list_commands(folders),
    ]
    return sorted(made, key=lambda event: event.path)


def list_requests(functions: Mapping[str, Any], folders: Mapping[str, str]) -> Iterator[EventFile]:
    """Yield a request for each route."""
    routes = list(find_routes(functions))
    served = {(route.method, route.resource) for route in routes}
    for route in routes:
        name = "_".join([route.method.lower(), *(re.findall(r"\w+", route.resource) or ["root"])])
        event = build_request(route, find_sample(route, served), name)
        yield EventFile(f"{folders[route.function]}/{name}.json", route.function, event)


def find_routes(functions: Mapping[str, Any]) -> Iterator[DeployedRoute]:
    """Yield the routes as the template lists them."""
    for function, properties in functions.items():
        for event in properties.get("Events", {}).values():
            if event["Type"] == "Api":
                route = event["Properties"]
                authorized = route.get("Auth", {}).get("Authorizer") != "NONE"
                yield DeployedRoute(route["Method"].upper(), route["Path"], function, authorized, None, None)


def find_sample(route: DeployedRoute, served: set[tuple[str, str]]) -> SampleRequest:
    """Return the request to make to a route: of any other method, one that the path doesn't serve."""
    name = f"{route.method} {route.resource}"
    if name in REQUESTS:
        return REQUESTS[name]
    if route.method != "ANY":
        raise SampleMissing(f"tools/events/requests.py has no request for {name}")
    method = next(method for method in WRONG_METHODS if (method, route.resource) not in served)
    parameters = re.findall(r"{(\w+)}", route.resource)
    return SampleRequest(ids=dict.fromkeys(parameters, "00000000-0000-7000-8000-000000000000"), method=method)


def build_request(route: DeployedRoute, sample: SampleRequest, name: str) -> dict[str, Any]:
    """Return the event of a request; each comes from an address of its own, since limits count addresses."""
    method = sample.method or route.method
    path = re.sub(r"{(\w+)\+?}", lambda part: sample.ids[part[1]], route.resource)
    headers = [("Accept", "application/json"), ("Host", "api.example.test"), ("User-Agent", "sam-local")]
    if sample.body is not None:
        headers.append(("Content-Type", "application/json"))
    if method not in ("GET", "HEAD"):
        headers.append(("Idempotency-Key", f"event-{name}"))
    if sample.version is not None:
        headers.append(("If-Match", f'"{sample.version}"'))
    body = json.dumps(sample.body, ensure_ascii=False).encode() if sample.body is not None else b""
    request = HttpRequest(method, f"/{STAGE}{path}", "", headers, make_address(name), body=body)
    trace = f"Root=1-{int(SENT_AT.timestamp()):08x}-{compute_digest(name)[:24]}"
    ids = make_uuid(f"request {name}"), make_uuid(f"gateway {name}")
    call = GatewayRequest(request, *ids, trace, STAGE, path, SENT_AT.timestamp())
    claims = convert_claims(make_claims(sample.caller)) if route.authorized and sample.caller else None
    event: dict[str, Any] = json.loads(
        build_proxy_event(call, route, RouteMatch({}, dict(sample.ids)), claims, [], PORT)
    )
    return event


def make_claims(account: str) -> dict[str, Any]:
    """Return the claims of an account's access token, as Cognito issues it."""
    sub, issued = f"sub-{account}", int(SENT_AT.timestamp())
    return {
        "sub": sub,
        "cognito:groups": [GROUPS[account]],
        "iss": f"https://cognito-idp.{REGION}.amazonaws.com/{REGION}_events",
        "client_id": CLIENT_ID,
        "token_use": "access",
        "scope": SCOPE,
        "auth_time": issued,
        "exp": issued + int(TOKEN_LIFE.total_seconds()),
        "iat": issued,
        "jti": make_uuid(f"token {account}"),
        "username": sub,
    }


def list_schedules(functions: Mapping[str, Any], folders: Mapping[str, str]) -> Iterator[EventFile]:
    """Yield the event of each schedule: its constant input, or EventBridge's own."""
    for function, properties in functions.items():
        for name, event in properties.get("Events", {}).items():
            if event["Type"] == "Schedule":
                given = event["Properties"].get("Input")
                own = {**build_scheduled_event(name, REGION, SENT_AT), "id": make_uuid(f"schedule {function} {name}")}
                yield EventFile(
                    f"{folders[function]}/{convert_to_snake_case(name)}.json",
                    function,
                    json.loads(given) if given else own,
                )


def list_batches(resources: Mapping[str, Any], folders: Mapping[str, str]) -> Iterator[EventFile]:
    """Yield a batch of messages for each queue that a function takes them from."""
    for resource in resources.values():
        if resource["Type"] != "AWS::Lambda::EventSourceMapping":
            continue
        queue = resource["Properties"]["EventSourceArn"]["Fn::GetAtt"][0]
        function = resource["Properties"]["FunctionName"]["Ref"].partition(".")[0]
        if queue not in QUEUES:
            raise SampleMissing(f"tools/events/event_files.py has no message for {queue}")
        messages = [build_message(queue, number, body) for number, body in enumerate(QUEUES[queue], start=1)]
        event = build_sqs_event(messages, f"arn:aws:sqs:{REGION}:{ACCOUNT}:interdomestik-{queue}")
        yield EventFile(f"{folders[function]}/{convert_to_snake_case(queue)}.json", function, event)


def build_message(queue: str, number: int, body: str) -> dict[str, Any]:
    """Return a message as ReceiveMessage returns it."""
    sent = str(int(SENT_AT.timestamp() * 1000))
    return {
        "MessageId": make_uuid(f"{queue} {number}"),
        "ReceiptHandle": f"{queue}-{number}",
        "Body": body,
        "MD5OfBody": md5(body.encode(), usedforsecurity=False).hexdigest(),
        "Attributes": {
            "ApproximateReceiveCount": "1",
            "ApproximateFirstReceiveTimestamp": sent,
            "SentTimestamp": sent,
            "SenderId": ACCOUNT,
        },
    }


def list_commands(folders: Mapping[str, str]) -> Iterator[EventFile]:
    """Yield the operators' commands."""
    for command, facts in COMMANDS.items():
        yield EventFile(
            f"{folders[OPERATIONS]}/{command.replace('-', '_')}.json", OPERATIONS, {"command": command, **facts}
        )


def make_address(name: str) -> str:
    """Return the address that a request comes from: one of RFC 2544's range for tests, which nobody has."""
    first, second = bytes.fromhex(compute_digest(name)[:4])
    return f"198.18.{first}.{second}"


def compute_digest(name: str) -> str:
    """Return hexadecimal digits that a name always has."""
    return sha256(name.encode()).hexdigest()


def make_uuid(name: str) -> str:
    """Return an id that a name always has."""
    digits = compute_digest(name)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"


def convert_to_snake_case(name: str) -> str:
    """Return a logical id in lower case, its words joined by underscores."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
