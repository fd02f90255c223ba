"""The lines that the local cloud logs in the place of AWS's services: the runtime's reports, and the access log.

They say what Lambda and API Gateway count in their metrics.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

FIRST_SERVER_ERROR = 500
_REPORT = b'"platform.report"'


@dataclass(frozen=True, slots=True)
class FunctionReport:
    """An invocation that has ended, and the version that it ran in; times are in seconds since the epoch."""

    ended_at: float
    duration_s: float
    has_failed: bool
    version: str


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """A request that API Gateway has answered; it came at `at`, in seconds since the epoch."""

    status: int
    latency_ms: float
    at: float

    @property
    def is_server_error(self) -> bool:
        """Return whether the metric 5XXError counts it."""
        return self.status >= FIRST_SERVER_ERROR


def read_reports(lines: bytes) -> Iterator[FunctionReport]:
    """Yield the reports of whole lines of a function's log; a line that can't be read is the function's own."""
    for line in lines.splitlines():
        if _REPORT in line:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                yield _read_report(json.loads(line))


def _read_report(document: Mapping[str, Any]) -> FunctionReport:
    record = document["record"]
    ended_at = datetime.fromisoformat(document["time"]).timestamp()
    return FunctionReport(ended_at, record["durationMs"] / 1000, record["status"] != "success", record["version"])


def read_answers(lines: bytes) -> Iterator[GatewayAnswer]:
    """Yield the requests of whole lines of the access log, as far as they say status and times."""
    for line in lines.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            document = json.loads(line)
            yield GatewayAnswer(int(document["status"]), float(document["latency_ms"]), int(document["time_ms"]) / 1000)
