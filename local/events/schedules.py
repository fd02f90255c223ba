"""Schedules: the first run soon after the start, then at a fixed rate.

A file beside the deployed stack may change them while they run, as an operator's or a test's hand does on AWS:
`{"RelayFunction": {"state": "DISABLED"}, "HousekeepingFunction": {"every_s": 30}}`.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.events.event_payloads import build_scheduled_event
from local.events.invoke import FunctionInvoker
from local.stack import Schedule

FIRST_RUN_S = 1.0
RETRY_S = 2.0  # while the gateway is unreachable
LOOK_S = 1.0  # between two looks at the file
FILE = "schedules.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """The present state of a schedule; `every_s` are the seconds between two runs."""

    every_s: float
    is_enabled: bool = True


def read_schedule_state(file: Path, schedule: Schedule) -> ScheduleState:
    """Return how a schedule runs now: as deployed, unless a file that can be read changes it."""
    try:
        changed: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")).get(schedule.function, {})
        return ScheduleState(float(changed.get("every_s", schedule.every_s)), changed.get("state") != "DISABLED")
    except (OSError, ValueError, AttributeError, TypeError):
        return ScheduleState(schedule.every_s)


def run_schedule(
    schedule: Schedule,
    invoke: FunctionInvoker,
    *,
    region: str,
    stop: threading.Event,
    look: Callable[[], ScheduleState],
) -> None:
    """Invoke the function as an event until `stop` is set; skip runs that were missed, and all while it is disabled."""
    due = time.monotonic() + FIRST_RUN_S
    while not stop.wait(min(LOOK_S, max(0.0, due - time.monotonic()))):
        state, now = look(), time.monotonic()
        due = min(due, now + state.every_s)
        if now < due:
            continue
        try:
            if state.is_enabled:
                invoke(schedule.function, make_payload(schedule, region), kind="Event")
            due = max(due + state.every_s, time.monotonic())
        except OSError as error:
            log.warning("%s: %s", schedule.function, error)
            due = time.monotonic() + min(RETRY_S, state.every_s)


def make_payload(schedule: Schedule, region: str) -> Any:
    """Return the schedule's constant input, or EventBridge's event of now."""
    if schedule.payload is not None:
        return schedule.payload
    return build_scheduled_event(schedule.function, region, datetime.now(UTC))
