"""The trace header of a call to the emulator's SQS, kept with its messages as the system attribute AWSTraceHeader.

Runs in the emulator's process. AWS's SQS takes the header of a SendMessage call (botocore sends it from inside a Lambda
function) for the attribute, unless the call names the attribute itself.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ministack.services import sqs

HEADER = b"x-amzn-trace-id"
ATTRIBUTE = "AWSTraceHeader"

_header: ContextVar[str] = ContextVar("trace_header", default="")

Message = dict[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


def keep_trace_headers(application: Application) -> Application:
    """Return the application with the trace headers of its calls kept with the messages that they send."""
    build = sqs._build_send_sys_attrs  # noqa: SLF001 - it has no public name

    def build_with_trace(now: float, given: dict[str, Any]) -> dict[str, Any]:
        attributes: dict[str, Any] = build(now, given)
        return {**({ATTRIBUTE: _header.get()} if _header.get() else {}), **attributes}

    async def read_header(scope: Message, receive: Any, send: Any) -> None:
        _header.set(dict(scope.get("headers", ())).get(HEADER, b"").decode("latin-1"))
        await application(scope, receive, send)

    sqs._build_send_sys_attrs = build_with_trace  # noqa: SLF001
    return read_header
