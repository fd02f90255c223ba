"""The lines that the local cloud logs in the place of AWS's services: the runtime's reports, and the access log.

They say what Lambda and API Gateway count in their metrics.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.runtime.invocation import ALIAS

FIRST_SERVER_ERROR = 500
_REPORT = b'"platform.report"'


@dataclass(frozen=True, slots=True)
class FunctionReport:
    """An invocation that has ended, and the version that it ran in; times are in seconds since the epoch.

    `qualifier` is what the caller named: the alias, or a version's number.
    """

    ended_at: float
    duration_s: float
    has_failed: bool
    version: str
    qualifier: str = ALIAS

    def name_dimensions(self, function: str) -> list[dict[str, str]]:
        """Return the dimensions under each of which Lambda writes the metrics of this invocation of a function.

        A version that an alias has picked is a dimension too; one that the caller has named is so by its resource.
        """
        name, resource = {"FunctionName": function}, {"Resource": f"{function}:{self.qualifier}"}
        picked = [{**name, **resource, "ExecutedVersion": self.version}] if self.qualifier == ALIAS else []
        return [name, {**name, **resource}, *picked]


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
    failed = record["status"] != "success"
    return FunctionReport(ended_at, record["durationMs"] / 1000, failed, record["version"], record["qualifier"])


def read_answers(lines: bytes) -> Iterator[GatewayAnswer]:
    """Yield the requests of whole lines of the access log, as far as they say status and times."""
    for line in lines.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            document = json.loads(line)
            yield GatewayAnswer(int(document["status"]), float(document["latency_ms"]), int(document["time_ms"]) / 1000)
