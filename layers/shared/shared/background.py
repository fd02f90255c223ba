"""Handlers that no client waits for: their deadline is made once, and what they raise quotes nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from shared.clock import read_monotonic
from shared.deadline import Deadline, use_deadline
from shared.logging import describe_failure, logger

T = TypeVar("T")


class BackgroundError(Exception):
    """A handler failed; its words, if any, are ours and quote nobody."""


@dataclass(frozen=True, slots=True)
class BackgroundInvocation:
    """One invocation of a function: its id, as the audit names it, and the deadline of all that it does."""

    request_id: str
    deadline: Deadline


def background_handler(
    handler: Callable[[dict[str, Any], BackgroundInvocation], T],
) -> Callable[[dict[str, Any], Any], T]:
    """Return Lambda's entry point of a handler: set the deadline, and strip personal data from what it raises.

    Lambda prints an exception's words, and a database error's may quote a row: only its class goes on, as a
    BackgroundError. One that the handler raises itself is passed on as it is.
    """

    @wraps(handler)
    def run_handler(event: dict[str, Any], context: Any) -> T:
        deadline = Deadline.from_seconds(context.get_remaining_time_in_millis() / 1000, read_monotonic)
        try:
            with use_deadline(deadline):
                return handler(event, BackgroundInvocation(context.aws_request_id, deadline))
        except BackgroundError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, its words stay here
            logger.error("handler_failed", extra=describe_failure(error))
            raise BackgroundError(type(error).__name__) from None

    return run_handler


def repeat_until_empty(once: Callable[[], int], deadline: Deadline) -> int:
    """Repeat what returns how many records it changed, until it changes none or the time is up; return their sum."""
    total = 0
    while not deadline.has_passed and (count := once()):
        total += count
    return total
