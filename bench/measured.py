"""What a run has measured, as it is written to measurements/bench.json; and the estimates made of samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stress.estimates import Values, compute_percentile, estimate_percentile, estimate_ratio
from stress.model import Estimate

MEDIAN = 0.5
DIGITS = 4  # significant ones


def describe_median(samples: Sequence[float]) -> dict[str, Any]:
    """Return the median with an interval that holds for any distribution; too few samples have none."""
    found = estimate_percentile(samples, MEDIAN)
    if isinstance(found, Estimate):
        return describe_estimate(found)
    return {"value": round_value(compute_percentile(samples, MEDIAN)), "low": None, "high": None, "n": len(samples)}


def describe_ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, Any]:
    """Return the ratio of two medians with the interval of a bootstrap. Raise ValueError for too few samples."""
    found = estimate_ratio(above, below, compute_medians)
    if isinstance(found, Estimate):
        return describe_estimate(found)
    raise ValueError(f"{found.samples} samples are too few: {found.needed}")


def describe_estimate(found: Estimate) -> dict[str, Any]:
    """Return an estimate for the file."""
    ends = {"low": round_value(found.low), "high": round_value(found.high)}
    return {"value": round_value(found.value), **ends, "n": found.samples}


def compute_medians(values: Values) -> Values:
    """Return the medians along the last axis."""
    medians: Values = np.median(values, axis=-1)
    return medians


def round_value(value: float) -> float:
    """Return a value with as many digits as it is worth."""
    return float(f"{value:.{DIGITS}g}")


def find_value(measured: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a path in what was measured, `part.part`. Raise KeyError."""
    found: Any = measured
    for part in path.split("."):
        found = found[part]
    return found
