"""The outermost of the jobs' handlers: what they raise must not tell about people, and no call outlasts their time."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from shared.clock import monotonic
from shared.deadline import Deadline, under
from shared.logging import logger, where_it_failed

Handler = Callable[[dict[str, Any], Any], Any]


class JobsError(Exception):
    """A handler failed; its words, if any, are ours and quote nobody."""


class CommandError(JobsError):
    """The command was not carried out, and its words say why; they quote nothing that was sent."""


def guarded(handler: Handler) -> Handler:
    """Lambda prints an exception's words, and a database error's may quote a row: only its class goes on.

    A JobsError is passed on as it is.
    """

    @wraps(handler)
    def outermost(event: dict[str, Any], context: Any) -> Any:
        deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000, monotonic)
        try:
            with under(deadline):
                return handler(event, context)
        except JobsError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, its words stay here
            logger.error("handler_failed", extra=where_it_failed(error))
            raise JobsError(type(error).__name__) from None

    return outermost


def drain(once: Callable[[], int], deadline: Deadline) -> int:
    """Repeat until nothing was handed over or the time is up; return how many jobs were."""
    total = 0
    while not deadline.passed and (count := once()):
        total += count
    return total
