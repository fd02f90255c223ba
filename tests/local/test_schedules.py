"""Schedules run at their rate, and a file beside the stack changes them while they run."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local.events.schedules import ScheduleState, read_schedule_state, run_schedule
from local.stack import Schedule
from tests.local.gateways import wait_until

HOURLY = Schedule("tidy", 3600.0, {"from": "schedule"})


class RecordingInvoker:
    """An invoker that keeps what it is given."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, Any, str]] = []

    def __call__(self, function: str, payload: Any, *, kind: str) -> None:
        """Take one invocation."""
        self.runs.append((function, payload, kind))


@contextmanager
def start_schedule(file: Path) -> Iterator[RecordingInvoker]:
    """Run the schedule within the block."""
    invoker, stop = RecordingInvoker(), threading.Event()
    run = partial(run_schedule, HOURLY, invoker, region="r", stop=stop, look=partial(read_schedule_state, file, HOURLY))  # type: ignore[arg-type]
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield invoker
    finally:
        stop.set()
        thread.join()


def change(file: Path, **settings: object) -> None:
    """Change the schedule."""
    file.write_text(json.dumps({"tidy": settings}), encoding="utf-8")


def test_an_hourly_schedule_runs_soon_and_then_waits(tmp_path: Path) -> None:
    """It runs as an event, with its constant input."""
    with start_schedule(tmp_path / "schedules.json") as invoker:
        wait_until(lambda: invoker.runs)
        time.sleep(2.5)
    assert invoker.runs == [("tidy", {"from": "schedule"}, "Event")]


def test_a_schedule_that_is_disabled_does_not_run_until_it_is_enabled(tmp_path: Path) -> None:
    """Enabled again it runs at another rate, as the file says."""
    file = tmp_path / "schedules.json"
    change(file, state="DISABLED", every_s=0.2)
    with start_schedule(file) as invoker:
        time.sleep(2.5)
        assert invoker.runs == []
        change(file, every_s=0.2)
        wait_until(lambda: len(invoker.runs) > 2)
        change(file, state="DISABLED", every_s=0.2)
        time.sleep(0.5)
        stopped = len(invoker.runs)
        time.sleep(1.0)
        assert len(invoker.runs) == stopped


@pytest.mark.parametrize("content", [None, "", "no JSON", "[]", '{"tidy": 1}', '{"tidy": {"every_s": "often"}}', "{}"])
def test_a_file_that_says_nothing_of_a_schedule_changes_nothing(tmp_path: Path, content: str | None) -> None:
    """A file that can't be read changes nothing either."""
    file = tmp_path / "schedules.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert read_schedule_state(file, HOURLY) == ScheduleState(3600.0, is_enabled=True)
