"""CloudWatch's embedded metric format: the metrics in a function's log lines.

As in CloudWatch's own extraction, a member that is missing or is not a number is no metric, and a line that can't be
read is an ordinary log line.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MARK = b'"_aws"'
MOST_VALUES = 100  # of one member; CloudWatch ignores a member with more


@dataclass(frozen=True, slots=True)
class MetricDatum:
    """The values of one metric under one set of dimensions. `at_ms` is in milliseconds since the epoch."""

    namespace: str
    name: str
    unit: str
    at_ms: int
    dimensions: tuple[tuple[str, str], ...]
    values: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a MetricDatum of AWS's JSON protocol."""
        return {
            "MetricName": self.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in self.dimensions],
            "Timestamp": self.at_ms / 1000,
            "Unit": self.unit,
            **({"Value": self.values[0]} if len(self.values) == 1 else {"Values": list(self.values)}),
        }


def read_metrics(lines: bytes) -> Iterator[MetricDatum]:
    """Yield the metrics of whole lines; skip quickly over text that has none."""
    if MARK in lines:
        for line in lines.splitlines():
            if MARK in line:
                yield from _read_line(line)


def _read_line(line: bytes) -> list[MetricDatum]:
    try:
        root = json.loads(line)
        described = root["_aws"]
        at_ms, directives = int(described["Timestamp"]), described["CloudWatchMetrics"]
        return [datum for directive in directives for datum in _read_directive(root, directive, at_ms)]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return []


def _read_directive(root: dict[str, Any], directive: dict[str, Any], at_ms: int) -> Iterator[MetricDatum]:
    """Yield each metric under each set of dimensions."""
    namespace = _read_text(directive["Namespace"])
    described = [
        (_read_text(metric["Name"]), _read_text(metric.get("Unit") or "None")) for metric in directive["Metrics"]
    ]
    for names in directive.get("Dimensions") or [[]]:
        dimensions = tuple((name, root[name]) for name in names if isinstance(root.get(name), str))
        if len(dimensions) == len(names):
            for name, unit in described:
                if values := _read_values(root.get(name)):
                    yield MetricDatum(namespace, name, unit, at_ms, dimensions, values)


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _read_values(member: Any) -> tuple[float, ...]:
    """Return the numbers of a member; none if it is anything else."""
    values = member if isinstance(member, list) else [member]
    return tuple(map(float, values)) if len(values) <= MOST_VALUES and all(map(_is_number, values)) else ()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
