"""The decision whether a call is repeated, and when: pure, with randomness passed in."""

import json
from collections.abc import Callable
from dataclasses import dataclass

# Answers that the gateway gives in place of a function, and refusals that ask to wait.
_REPEATED = frozenset({429, 502, 503, 504})
# A fault of the service is met by most repeats too: a few show whether it lasts, more would only add load.
_FAULT = 500
_REPEATS_OF_A_FAULT = 2
_STILL_RUNNING = "urn:interdomestik:problem:request-in-progress"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long one call may take with all its repeats, and the pauses where the service names none; in seconds."""

    patience_s: float = 60.0
    base_s: float = 0.1
    cap_s: float = 5.0

    def choose_pause(self, attempt: int, retry_after: str | None, draw: Callable[[], float]) -> float:
        """Return the pause before the next attempt: what the service asks for, or else full jitter.

        `attempt` counts from 0, `draw` returns a number from 0 to 1. Where the service names a time, a little is added,
        so that all who were told the same time do not come at once.
        """
        if retry_after is not None and retry_after.isdecimal():
            return int(retry_after) + draw() * self.base_s
        return draw() * min(self.cap_s, self.base_s * 2.0**attempt)


def is_repeated(status: int, body: bytes, attempt: int) -> bool:
    """Return whether a call that was answered like this is sent again; `attempt` counts from 0."""
    if status == _FAULT:
        return attempt < _REPEATS_OF_A_FAULT
    return status in _REPEATED or (status == 409 and _read_type(body) == _STILL_RUNNING)


def _read_type(body: bytes) -> str:
    try:
        problem = json.loads(body)
    except ValueError:
        return ""
    return str(problem.get("type", "")) if isinstance(problem, dict) else ""
