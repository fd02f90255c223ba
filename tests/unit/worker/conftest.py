"""Fixtures of the worker's tests."""

import pytest

from tests.unit.worker.running_worker import LogLines
from worker import job_runner


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> LogLines:
    """Return the lines that the worker logs; each run takes 234.56 ms."""
    lines, times = LogLines(), iter([10.0, 10.23456] * 2)
    monkeypatch.setattr(job_runner, "logger", lines)
    monkeypatch.setattr("worker.job_runner.time.perf_counter", lambda: next(times))
    return lines
