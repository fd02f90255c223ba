"""The hook's log: a line of JSON for each event, with classes of errors and places in the code, not their messages."""

import json
import logging
import traceback

MOST_FRAMES = 8

logger = logging.getLogger("pretraffic")
logger.setLevel(logging.INFO)


def log_event(level: int, message: str, **facts: object) -> None:
    """Write a line about an event."""
    logger.log(level, json.dumps({"message": message, **facts}))


def log_failure(message: str, error: BaseException, **facts: object) -> None:
    """Write a line about an exception: its class, AWS's code of it if it has one, and where it was raised."""
    frames = [
        f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
    ]
    log_event(logging.ERROR, message, error=describe_error(error), frames=frames, **facts)


def describe_error(error: BaseException) -> str:
    """Return what may be logged of an exception: its class, with AWS's code if it has one."""
    code = read_code(error)
    return f"{type(error).__name__} {code}".strip()


def read_code(error: BaseException) -> str:
    """Return the code of an error that AWS has answered with; empty for any other exception."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
