"""The band of noise says of a ratio of two runs whether chance alone may have made it."""

import math

import numpy as np
import pytest

from stress.estimates import bound_percentile, compute_percentile
from stress.model import Estimate
from stress.report.differences import FALSE_CALLS
from stress.report.noise import ONE_COMPARISON, choose_width, estimate_ratio, find_band

PAGES, RATIOS = 200, 20
MEDIAN = 0.5
SPREAD = 0.4


def measure_median(values: list[float]) -> Estimate:
    return Estimate(compute_percentile(values, MEDIAN), *bound_percentile(values, MEDIAN), len(values))


def make_ratios(seed: int, factor: float = 1.0) -> list[Estimate]:
    """Return the ratios of a page of two runs of one system; the first operation takes `factor` times as long in B."""
    dice = np.random.default_rng(seed)
    ratios = []
    for number in range(RATIOS):
        a, b = (dice.lognormal(4, SPREAD, dice.integers(60, 400)) for _ in range(2))
        ratio = estimate_ratio(measure_median(list(a)), measure_median(list(b * (1 if number else factor))))
        assert ratio is not None
        ratios.append(ratio)
    return ratios


def has_outside(ratios: list[Estimate]) -> bool:
    width = choose_width(ratios, FALSE_CALLS)
    return any(not find_band(ratio, width).contains(ratio.value) for ratio in ratios)


def test_of_twenty_pages_without_a_difference_about_one_has_a_ratio_outside_of_its_noise() -> None:
    """The band of one comparison at 95 % would be left on two of three pages of twenty ratios."""
    pages = [make_ratios(seed) for seed in range(PAGES)]
    assert sum(map(has_outside, pages)) <= 1.5 * FALSE_CALLS * PAGES
    alone = [any(not find_band(each).contains(each.value) for each in ratios) for ratios in pages]
    assert sum(alone) > PAGES / 4


def test_a_median_half_as_long_again_is_outside_of_its_noise() -> None:
    """It is shown so in its own row, on each of twenty pages."""
    for seed in range(20):
        ratios = make_ratios(seed, factor=1.5)
        assert not find_band(ratios[0], choose_width(ratios, FALSE_CALLS)).contains(ratios[0].value)


@pytest.mark.parametrize(
    "ratio", [Estimate(1.2, 1.01, 1.4, 90), Estimate(1.2, 0.99, 1.5, 90), Estimate(0.8, 0.7, 0.9, 9)]
)
def test_one_ratio_is_outside_of_its_band_exactly_if_its_interval_lacks_1(ratio: Estimate) -> None:
    """So the picture and the interval beside it say the same."""
    assert find_band(ratio).contains(ratio.value) == (ratio.low <= 1 <= ratio.high)


def test_more_comparisons_need_wider_bands_and_clear_differences_narrow_them_again() -> None:
    """With one comparison the width is that of its interval."""
    unclear, clear = Estimate(1.01, 0.9, 1.1, 50), Estimate(9.0, 8.0, 10.0, 50)
    assert choose_width([unclear], FALSE_CALLS) == pytest.approx(ONE_COMPARISON)
    assert choose_width([unclear] * 20, FALSE_CALLS) > choose_width([unclear] * 5, FALSE_CALLS) > ONE_COMPARISON
    assert choose_width([unclear, *[clear] * 19], FALSE_CALLS) < choose_width([unclear] * 20, FALSE_CALLS)
    assert choose_width([], FALSE_CALLS) == pytest.approx(ONE_COMPARISON)


def test_a_ratio_of_two_estimates_has_the_interval_of_both() -> None:
    """An exact side adds nothing; of two equally wide ones the ratio's is wider by the root of two."""
    wide, exact = Estimate(100, 80, 125, 70), Estimate(50, 50, 50, 70)
    one = estimate_ratio(exact, wide)
    assert one is not None
    assert (one.value, one.low, one.high) == pytest.approx((2, 1.6, 2.5))
    both = estimate_ratio(wide, wide)
    assert both is not None
    assert math.log(both.high) == pytest.approx(math.sqrt(2) * math.log(1.25))
    assert both.samples == 140


def test_a_ratio_of_zero_or_without_an_end_is_never_beyond_noise() -> None:
    """Nothing is divided by zero; an interval without an end gives a band without one."""
    none, endless = Estimate(0, 0, 0.1, 9), Estimate(5, 0, math.inf, 9)
    assert estimate_ratio(none, endless) is None
    assert estimate_ratio(endless, none) is None
    ratio = estimate_ratio(Estimate(1, 1, 1, 9), endless)
    assert ratio is not None
    band = find_band(ratio)
    assert (band.low, band.high) == (0, math.inf)
    assert choose_width([ratio], FALSE_CALLS) == pytest.approx(ONE_COMPARISON)
