"""Sample calls and their answers."""

from dataclasses import replace
from typing import Any

from stress.ledger import CallSample, PlannedCall

CLIENT = "127.20.0.1"


def make_call(operation: str = "register", **changes: Any) -> PlannedCall:
    """Return a call that changes something, with a key of its own operation's name unless one is given."""
    given = {"method": "POST", "path": f"/{operation}", "client": CLIENT, "key": f"key-{operation}"}
    return PlannedCall(operation, **{**given, **changes})


def make_sample(
    made: PlannedCall, status: int = 201, at: float = 0.0, *, problem: str = "", replayed: bool = False, **record: Any
) -> CallSample:
    """It, sent and answered at one moment; `record` is the answer's."""
    return CallSample("claims", made, at, at, at, status, problem, record or None, replayed)


def set_times(sample: CallSample, *, sent_s: float, done_s: float) -> CallSample:
    """Return the same, with other times."""
    return replace(sample, meant_s=sent_s, sent_s=sent_s, done_s=done_s)
