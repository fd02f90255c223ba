"""Schedules: the first run soon after the start, then at a fixed rate."""

import logging
import threading
import time
from datetime import UTC, datetime

from local.events.event_payloads import build_scheduled_event
from local.events.invoke import FunctionInvoker
from local.stack import Schedule

FIRST_RUN_S = 1.0
RETRY_S = 2.0  # while the gateway is unreachable

log = logging.getLogger(__name__)


def run_schedule(schedule: Schedule, invoke: FunctionInvoker, *, region: str, stop: threading.Event) -> None:
    """Invoke the function as an event until `stop` is set; skip runs that were missed."""
    due = time.monotonic() + FIRST_RUN_S
    while not stop.wait(max(0.0, due - time.monotonic())):
        payload = schedule.payload
        if payload is None:
            payload = build_scheduled_event(schedule.function, region, datetime.now(UTC))
        try:
            invoke(schedule.function, payload, kind="Event")
            due = max(due + schedule.every_s, time.monotonic())
        except OSError as error:
            log.warning("%s: %s", schedule.function, error)
            due = time.monotonic() + min(RETRY_S, schedule.every_s)
