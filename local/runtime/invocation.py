"""One invocation and its outcome."""

import json
from dataclasses import dataclass

ALIAS = "live"  # the name under which everything is called, but by the check of a release
PAYLOAD_LIMIT = 6 * 1024 * 1024  # bytes of a synchronous request or answer: Lambda's own quota


class ThrottledError(Exception):
    """The function is at its reserved concurrency."""


@dataclass(frozen=True, slots=True)
class FunctionInvocation:
    """A call of a function: a JSON payload, its request id, and the X-Ray trace header.

    `qualifier` is what the caller has named, the alias or the number of a version: metrics are kept for each.
    """

    request_id: str
    payload: bytes
    trace_id: str
    qualifier: str = ALIAS


@dataclass(frozen=True, slots=True)
class InvocationOutcome:
    """The outcome of an invocation. `error` is the value of X-Amz-Function-Error, None for a success."""

    payload: bytes
    error: str | None = None


def make_failure(kind: str, message: str) -> InvocationOutcome:
    """Return the outcome of an invocation that Lambda, not the function, ended."""
    return InvocationOutcome(json.dumps({"errorType": kind, "errorMessage": message}).encode(), "Unhandled")
