"""Handlers that no client waits for: their deadline is made once, and what they raise quotes nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from shared.clock import monotonic
from shared.deadline import Deadline, under
from shared.logging import logger, where_it_failed

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
    def entry_point(event: dict[str, Any], context: Any) -> T:
        deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000, monotonic)
        try:
            with under(deadline):
                return handler(event, BackgroundInvocation(context.aws_request_id, deadline))
        except BackgroundError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, its words stay here
            logger.error("handler_failed", extra=where_it_failed(error))
            raise BackgroundError(type(error).__name__) from None

    return entry_point


def drain(once: Callable[[], int], deadline: Deadline) -> int:
    """Repeat what returns how many records it changed, until it changes none or the time is up; return their sum."""
    total = 0
    while not deadline.passed and (count := once()):
        total += count
    return total
