"""Log lines for operators: ids, names of things, figures; never a mail address, name, phone or claim text."""

from collections.abc import Mapping

from aws_lambda_powertools import Logger

# `exc_info` would print the values an exception carries: a failing SQL statement quotes people's data.
logger = Logger(use_rfc3339=True, utc=True)


def where_it_failed(error: BaseException) -> dict[str, object]:
    """What may be logged of an exception: its class and the code it came through, not its words."""
    frames: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/', 2)[-1]}:{trace.tb_lineno}:{code.co_name}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "frames": frames[-8:]}


def observe(event: str, facts: Mapping[str, object]) -> None:
    """Turns an event that a mechanism emitted into a log line."""
    logger.warning(event, extra=dict(facts))
