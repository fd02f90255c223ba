"""The noise of a ratio of two runs: how far it would be from 1 if the runs did not differ, and which ratios are beyond.

A ratio is compared on a logarithmic scale, where a half is as far from 1 as a double. The distance from the ratio to an
end of its interval at 95 % is how far chance carries it; the same distance around 1 is the band of what is noise. The
more ratios a page has, the wider its bands must be, or one in twenty would be outside of its own by chance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from stress.estimates import TAIL
from stress.model import Estimate

ONE_COMPARISON = float(stats.norm.isf(TAIL))  # standard deviations from a value to an end of its interval: 1.96


@dataclass(frozen=True)
class NoiseBand:
    """The ratios that chance alone would give. An end may be 0 or infinity, if an interval has no end there."""

    low: float
    high: float

    def contains(self, ratio: float) -> bool:
        """Return whether a ratio may be chance."""
        return self.low <= ratio <= self.high


def estimate_ratio(a: Estimate, b: Estimate) -> Estimate | None:
    """Return B / A with its interval, from the intervals of both (MOVER: Zou and Donner, 2008); None for a zero.

    The squares of the distances from the values to the ends are added, each towards the side on which it matters.
    """
    if not (0 < a.value < math.inf and 0 < b.value < math.inf):
        return None
    ratio = b.value / a.value
    down = math.hypot(_measure_distance(b.value, b.low), _measure_distance(a.high, a.value))
    up = math.hypot(_measure_distance(b.high, b.value), _measure_distance(a.value, a.low))
    return Estimate(ratio, ratio * math.exp(-down), ratio * math.exp(up), a.samples + b.samples)


def find_band(ratio: Estimate, width: float = ONE_COMPARISON) -> NoiseBand:
    """Return the band of a ratio; `width` is its reach in standard deviations of the ratio's logarithm.

    Of one comparison, the ratio is outside of its band exactly if its interval does not contain 1.
    """
    share = width / ONE_COMPARISON
    down, up = _measure_distance(ratio.high, ratio.value), _measure_distance(ratio.value, ratio.low)
    return NoiseBand(math.exp(-share * down), math.exp(share * up) if up < math.inf else math.inf)


def choose_width(ratios: Sequence[Estimate], false_calls: float) -> float:
    """Return how wide the ratios' bands must be for only a share of pages without a difference to have one outside.

    The share is `false_calls`; if some ratios differ clearly, the others' bands are narrower (Benjamini and Hochberg,
    1995).
    """
    p_values = sorted(map(_compute_p_value, ratios))
    beyond = [rank for rank, p_value in enumerate(p_values, 1) if p_value <= false_calls * rank / len(p_values)]
    return float(stats.norm.isf(false_calls * max(beyond, default=1) / max(len(p_values), 1) / 2))


def _compute_p_value(ratio: Estimate) -> float:
    """Return how often chance alone would carry a ratio as far from 1 as this one, or farther."""
    towards_one = (ratio.value, ratio.low) if ratio.value > 1 else (ratio.high, ratio.value)
    reach = _measure_distance(*towards_one)
    if ratio.value == 1 or reach == math.inf:
        return 1.0
    return float(2 * stats.norm.sf(abs(math.log(ratio.value)) / reach * ONE_COMPARISON)) if reach else 0.0


def _measure_distance(high: float, low: float) -> float:
    """Return the distance of two values on a logarithmic scale."""
    return math.inf if low <= 0 or high == math.inf else math.log(high / low)
