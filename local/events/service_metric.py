"""A metric of one period, as the local cloud writes it in the place of an AWS service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ServiceMetric:
    """A metric of one period: each value with how often it occurred."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    unit: str
    values: Sequence[tuple[float, int]]

    def to_json(self, at: float) -> dict[str, Any]:
        """Return a MetricDatum of AWS's JSON protocol at a time in seconds since the epoch."""
        return {
            "MetricName": self.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in self.dimensions.items()],
            "Timestamp": at,
            "Unit": self.unit,
            "Values": [value for value, _ in self.values],
            "Counts": [count for _, count in self.values],
        }
