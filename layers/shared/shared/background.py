"""Handlers that no client waits for: they get a deadline, and their exceptions are stripped of personal data."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from shared.clock import read_monotonic
from shared.deadline import Deadline, use_deadline
from shared.logging import describe_failure, logger
from shared.tracing import begin_trace, use_trace

T = TypeVar("T")


class BackgroundError(Exception):
    """A background handler failed; its message, if any, contains no personal data."""


@dataclass(frozen=True, slots=True)
class BackgroundInvocation:
    """One invocation of a function: its id, as in the audit, and the deadline of all its work."""

    request_id: str
    deadline: Deadline


def background_handler(
    handler: Callable[[dict[str, Any], BackgroundInvocation], T],
) -> Callable[[dict[str, Any], Any], T]:
    """Return Lambda's entry point for a handler: set the deadline, and strip personal data from exceptions.

    Lambda prints an exception's message, and a database error's message may quote a row: so only its class is passed
    on, as a BackgroundError. A BackgroundError that the handler raises itself is passed on unchanged.
    """

    @wraps(handler)
    def run_handler(event: dict[str, Any], context: Any) -> T:
        deadline = Deadline.from_seconds(context.get_remaining_time_in_millis() / 1000, read_monotonic)
        try:
            with use_deadline(deadline), use_trace(begin_trace(context.aws_request_id)):
                return handler(event, BackgroundInvocation(context.aws_request_id, deadline))
        except BackgroundError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, its message stays here
            logger.error("handler_failed", extra=describe_failure(error))
            raise BackgroundError(type(error).__name__) from None

    return run_handler


def repeat_until_empty(once: Callable[[], int], deadline: Deadline) -> int:
    """Repeat a function that returns how many records it changed until none are left or time is up; return the sum."""
    total = 0
    while not deadline.has_passed and (count := once()):
        total += count
    return total
