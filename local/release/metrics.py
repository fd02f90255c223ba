"""The metrics that the alarms of a release watch, read from the logs of the running cloud.

The functions' own stand in their logs, in CloudWatch's embedded metric format. Those of Lambda and API Gateway follow
from the runtime's reports and from the access log. They are not read from the emulator's CloudWatch, which gets them
once a minute and without the version: a minute of a release's alarms may be as short as a second or two.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.events.embedded_metrics import read_metrics
from local.events.log_tail import LogTail
from local.events.service_logs import read_answers, read_reports
from local.runtime.invocation import ALIAS

Key = tuple[str, str, frozenset[tuple[str, str]]]  # namespace, name, dimensions


class LogMetrics:
    """The values that were logged since this object was made; `api` are the dimensions of the API's metrics."""

    def __init__(self, logs: Path, functions: Sequence[str], api: Mapping[str, str]) -> None:
        self._values: defaultdict[Key, list[tuple[float, float]]] = defaultdict(list)
        self._api = api
        self._tails = [LogTail(logs / "access.log", self._add_requests)]
        self._tails += [LogTail(logs / f"{name}.log", self._make_sink(name)) for name in functions]

    def read_new(self) -> None:
        """Read what was logged since the last time."""
        for tail in self._tails:
            while tail.read_new():
                pass

    def find_values(self, alarm: Mapping[str, Any]) -> list[tuple[float, float]]:
        """Return the values of an alarm's metric, each with its time in epoch seconds."""
        dimensions = {item["Name"]: item["Value"] for item in alarm.get("Dimensions", [])}
        return self._values[alarm["Namespace"], alarm["MetricName"], frozenset(dimensions.items())]

    def count_calls(self, function: str, version: str) -> int:
        """Return how many calls of a function's alias reached a version."""
        live = {"FunctionName": function, "Resource": f"{function}:{ALIAS}", "ExecutedVersion": version}
        return len(self._values["AWS/Lambda", "Errors", frozenset(live.items())])

    def _make_sink(self, function: str) -> Any:
        def add_lines(lines: bytes) -> None:
            for datum in read_metrics(lines):
                for value in datum.values:
                    self._add(datum.namespace, datum.name, dict(datum.dimensions), datum.at_ms / 1000, value)
            for report in read_reports(lines):
                for dimensions in report.name_dimensions(function):
                    self._add("AWS/Lambda", "Errors", dimensions, report.ended_at, float(report.has_failed))

        return add_lines

    def _add_requests(self, lines: bytes) -> None:
        for answer in read_answers(lines):
            self._add("AWS/ApiGateway", "5XXError", self._api, answer.at, float(answer.is_server_error))
            self._add("AWS/ApiGateway", "Latency", self._api, answer.at, answer.latency_ms)

    def _add(self, namespace: str, name: str, dimensions: Mapping[str, str], at: float, value: float) -> None:
        self._values[namespace, name, frozenset(dimensions.items())].append((at, value))
