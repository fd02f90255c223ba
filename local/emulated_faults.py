"""Faults of the emulated services, switched while the emulator runs, and a queue whose messages are made older.

Runs in the emulator's process, in front of its services:

    GET    /_local/faults   {"throttled": [{"table": "t", "operation": "PutItem", "count": 3}]}, since the start
    PUT    /_local/faults   {"service": "ses", "status": 503, "code": "ServiceUnavailable", "text": ""}
    DELETE /_local/faults   ends all faults
    PUT    /_local/age      {"queue": "queue-high", "seconds": 900}: messages in the queue were sent so much earlier

A service is named as in the credential's scope of a signed request: dynamodb, ses, cognito-idp, s3, sqs. With `text` a
fault meets only requests whose body contains it, such as one item's key: DynamoDB throttles single keys too.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ministack.services import sqs

FAULTS, AGE = "/_local/faults", "/_local/age"
# Errors with which DynamoDB refuses a request above a limit: of a table with and of one without provisioned throughput.
THROTTLED = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException"})
XML_SERVICES = frozenset({"s3"})

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ServiceFault:
    """An error that a service answers to each request whose body contains `text`."""

    service: str
    status: int
    code: str
    text: str = ""

    def build_body(self) -> bytes:
        """Return the error as the service writes it."""
        if self.service in XML_SERVICES:
            return f"<Error><Code>{self.code}</Code><Message>A fault</Message></Error>".encode()
        return json.dumps({"__type": self.code, "message": "A fault"}).encode()


class ServiceFaults:
    """The faults in force, one of each service at most, and the requests that DynamoDB has throttled."""

    def __init__(self) -> None:
        self._faults: dict[str, ServiceFault] = {}
        self._throttled: Counter[tuple[str, str]] = Counter()

    def find_fault(self, headers: Mapping[bytes, bytes], body: bytes) -> ServiceFault | None:
        """Return the fault that a request meets, and count it if DynamoDB would."""
        fault = self._faults.get(read_service(headers))
        if fault is None or fault.text.encode() not in body:
            return None
        if fault.service == "dynamodb" and fault.code in THROTTLED:
            operation = headers.get(b"x-amz-target", b"").decode().rpartition(".")[2]
            self._throttled.update((table, operation) for table in list_tables(json.loads(body)))
        return fault

    def control(self, method: str, body: bytes) -> dict[str, Any]:
        """Do one request to `/_local/faults`; return its answer. Raise ValueError, TypeError."""
        if method == "PUT":
            fault = ServiceFault(**json.loads(body))
            self._faults[fault.service] = fault
        if method == "DELETE":
            self._faults.clear()
        counts = sorted(self._throttled.items())
        return {"throttled": [{"table": table, "operation": name, "count": n} for (table, name), n in counts]}

    @property
    def has_faults(self) -> bool:
        """Return whether any fault is in force."""
        return bool(self._faults)


def read_service(headers: Mapping[bytes, bytes]) -> str:
    """Return the service for which a request is signed, empty if it is not signed by a header."""
    _, _, scope = headers.get(b"authorization", b"").decode("latin-1").partition("Credential=")
    parts = scope.partition(",")[0].split("/")
    return parts[3] if len(parts) == 5 else ""


def list_tables(request: Mapping[str, Any]) -> list[str]:
    """Return the tables that a request to DynamoDB names."""
    return [request["TableName"]] if "TableName" in request else sorted(request.get("RequestItems", {}))


def age_messages(queue: str, seconds: float) -> int:
    """Make the messages of a queue older; return how many there were."""
    found = [each for each in sqs._queues.to_dict().values() if each.get("name") == queue]  # noqa: SLF001
    messages = [message for each in found for message in each["messages"]]
    for message in messages:
        message["sent_at"] -= seconds
        message["sys"]["SentTimestamp"] = str(int(message["sent_at"] * 1000))
    return len(messages)


def add_faults(application: Application) -> Application:
    """Return the application with these faults in front of it, and the routes that switch them."""
    faults = ServiceFaults()

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or (path not in (FAULTS, AGE) and not faults.has_faults):
            await application(scope, receive, send)
            return
        body = await _read_body(receive)
        if path in (FAULTS, AGE):
            await _send_answer(send, *_handle_control(faults, scope, body))
        elif fault := faults.find_fault(dict(scope["headers"]), body):
            await _send_answer(send, fault.status, fault.build_body(), code=fault.code)
        else:
            await application(scope, _replay_body(body, receive), send)

    return answer


def _handle_control(faults: ServiceFaults, scope: Message, body: bytes) -> tuple[int, bytes]:
    try:
        if scope["path"] == FAULTS:
            return 200, json.dumps(faults.control(scope["method"], body)).encode()
        request = json.loads(body)
        return 200, json.dumps({"aged": age_messages(request["queue"], float(request["seconds"]))}).encode()
    except (KeyError, TypeError, ValueError) as error:
        return 400, json.dumps({"message": repr(error)}).encode()


async def _read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body that was read, and afterwards what comes."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay


async def _send_answer(send: Send, status: int, body: bytes, *, code: str = "") -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"x-amzn-errortype", code.encode())] if code else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
