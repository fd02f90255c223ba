"""An interval contains the truth as often as it says, and is none where there are too few samples."""

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from stress import estimates
from stress.estimates import TooFewSamples
from stress.model import Estimate

RUNS = 600
FEWEST_THAT_CONTAIN = 0.93 * RUNS  # of 95 %; two standard deviations less


def compute_medians(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median, by nearest rank, of many sets of samples."""
    return np.quantile(values, 0.5, axis=-1, method="inverted_cdf")


def want_estimate(found: Estimate | TooFewSamples) -> Estimate:
    """Return the estimate that must be there."""
    assert isinstance(found, Estimate)
    return found


@pytest.mark.parametrize(("share", "needed"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_a_percentile_of_one_sample_too_few_is_none(share: float, needed: int) -> None:
    """With as many as it needs the interval has two ends."""
    values = [float(n) for n in range(needed)]
    assert estimates.estimate_percentile(values[1:], share) == TooFewSamples(needed - 1, needed)
    assert estimates.TooFewSamples(needed - 1, needed).more == 1
    found = want_estimate(estimates.estimate_percentile(values, share))
    assert math.isfinite(found.low)
    assert found.low <= found.value <= found.high == max(values)


def test_the_ends_are_those_of_the_tables() -> None:
    """The median of a hundred lies between the 40th and the 61st; five of ten are 18.7 to 81.3 %."""
    found = want_estimate(estimates.estimate_percentile([float(n) for n in range(1, 101)], 0.5))
    assert (found.value, found.low, found.high, found.samples) == (50, 40, 61, 100)
    share = want_estimate(estimates.estimate_share(5, 10))
    assert (round(share.low, 4), round(share.high, 4)) == (0.1871, 0.8129)


@pytest.mark.parametrize("draw", [lambda dice: dice.random(), lambda dice: dice.paretovariate(1)], ids=["even", "tail"])
@pytest.mark.parametrize(("share", "count"), [(0.5, 40), (0.95, 72), (0.95, 500), (0.99, 400)])
def test_percentiles_lie_in_their_intervals_whatever_the_distribution(
    draw: Callable[[random.Random], float], share: float, count: int
) -> None:
    """The true percentile of an even distribution is the share itself, that of the other 1 / (1 - share)."""
    dice = random.Random(count)
    truth = share if draw(random.Random(1)) < 1 else 1 / (1 - share)
    found = [estimates.bound_percentile([draw(dice) for _ in range(count)], share) for _ in range(RUNS)]
    assert sum(low <= truth <= high for low, high in found) >= FEWEST_THAT_CONTAIN


@pytest.mark.parametrize(("share", "count"), [(0.002, 300), (0.01, 1000), (0.3, 40), (0.99, 200)])
def test_shares_lie_in_their_intervals(share: float, count: int) -> None:
    """Few events and many."""
    dice = random.Random(count)
    events = [sum(dice.random() < share for _ in range(count)) for _ in range(RUNS)]
    found = [want_estimate(estimates.estimate_share(each, count)) for each in events]
    assert sum(each.low <= share <= each.high for each in found) >= FEWEST_THAT_CONTAIN


def test_no_event_has_the_rule_of_three() -> None:
    """All of the 5 % is beyond the one end, and of no trial nothing is known."""
    none = want_estimate(estimates.estimate_share(0, 10_670))
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(3 / 10_670, rel=0.002)
    every = want_estimate(estimates.estimate_share(10_670, 10_670))
    assert (every.value, every.high) == (1, 1)
    assert every.low == pytest.approx(1 - none.high)
    assert estimates.estimate_share(0, 0) == TooFewSamples(0, 1)


def test_ratios_of_percentiles_lie_in_their_intervals() -> None:
    """Twice as slow, measured on a hundred calls of each side; the same seed gives the same ends."""
    dice, contained = random.Random(2), 0
    for _ in range(RUNS):
        before = [dice.lognormvariate(3, 0.5) for _ in range(100)]
        after = [2 * dice.lognormvariate(3, 0.5) for _ in range(100)]
        found = want_estimate(estimates.estimate_percentile_ratio(after, before, 0.5))
        contained += found.low <= 2 <= found.high
    assert contained >= FEWEST_THAT_CONTAIN
    assert estimates.estimate_percentile_ratio(after, before, 0.5) == found
    assert found.samples == 200


@pytest.mark.parametrize("spread", [0.5, 0.0], ids=["two that vary", "one that varies"])
def test_the_short_bootstrap_of_percentiles_is_the_bootstrap(spread: float) -> None:
    """Drawing all samples again and again gives the same interval, but takes a hundred times as long."""
    dice = random.Random(4)
    before, after = ([dice.lognormvariate(3, each) for _ in range(300)] for each in (spread, 0.5))
    short = want_estimate(estimates.estimate_percentile_ratio(after, before, 0.5))
    whole = want_estimate(estimates.estimate_ratio(after, before, compute_medians))
    assert (short.value, short.samples) == (whole.value, whole.samples)
    assert short.low == pytest.approx(whole.low, rel=0.02)  # neighbours among the samples
    assert short.high == pytest.approx(whole.high, rel=0.02)
    assert estimates.estimate_ratio(after, before, compute_medians) == whole


def test_a_ratio_of_too_few_samples_is_none() -> None:
    """Each side needs as many as its percentile does; a division by nothing is infinite."""
    few, many = [1.0] * 71, [1.0] * 72
    assert estimates.estimate_percentile_ratio(few, many, 0.95) == TooFewSamples(71, 72)
    assert estimates.estimate_percentile_ratio(many, few, 0.95) == TooFewSamples(71, 72)
    assert estimates.estimate_percentile_ratio(many, many, 0.95) == Estimate(1, 1, 1, 144)
    assert estimates.estimate_percentile_ratio(many, [0.0] * 72, 0.95) == Estimate(math.inf, math.inf, math.inf, 144)
    assert estimates.estimate_ratio([1.0], [1.0, 2.0], compute_medians) == TooFewSamples(1, 2)


def test_a_ratio_of_shares_holds_even_if_one_side_never_succeeded() -> None:
    """All of a hundred against none: at least 26 times as many, and no upper end."""
    found = want_estimate(estimates.estimate_share_ratio(100, 100, 0, 100))
    assert (found.value, found.high, round(found.low)) == (math.inf, math.inf, 27)
    even = want_estimate(estimates.estimate_share_ratio(50, 100, 25, 100))
    assert even.value == 2
    assert even.low < 1.5 < 2.5 < even.high
    assert estimates.estimate_share_ratio(1, 1, 0, 0) == TooFewSamples(0, 1)


@pytest.mark.parametrize(("bar", "events", "trials"), [(0.01, 0, 100), (0.01, 5, 1000), (0.01, 3, 100), (0.5, 9, 20)])
def test_so_many_more_trials_decide_a_share(bar: float, events: int, trials: int) -> None:
    """If the share stays as it was; it was not decided before."""
    more = estimates.count_more_for_share(bar, events, trials)
    assert more > 0
    low, high = estimates.bound_share(events, trials, 0.05)
    assert low <= bar < high
    count = trials + more
    scaled = events * count / trials
    low, high = estimates.bound_share(
        math.floor(scaled) if low > bar or events / trials > bar else math.ceil(scaled), count, 0.05
    )
    assert high <= bar or low > bar


def test_without_an_event_the_number_of_missing_trials_is_exact() -> None:
    """Below 1 % can be said of 0 in 299, not of 0 in 298."""
    assert estimates.count_more_for_share(0.01, 0, 298) == 1
    assert estimates.bound_share(0, 299, 0.05)[1] < 0.01 < estimates.bound_share(0, 298, 0.05)[1]
    assert estimates.count_more_for_share(0.5, 10, 20) == estimates.MOST_TRIALS - 20


def test_a_ratio_near_its_bar_needs_more_samples_than_one_far_from_it() -> None:
    """An interval narrows with the square root of the samples; on the bar itself no number is enough."""
    near, far = Estimate(1.9, 1.6, 2.2, 200), Estimate(1.7, 1.4, 2.1, 200)
    assert estimates.count_more_for_ratio(2, near) > 5 * estimates.count_more_for_ratio(2, far) > 0
    assert estimates.count_more_for_ratio(2, Estimate(2, 1, 3, 200)) == estimates.MOST_TRIALS - 200
    assert estimates.count_more_for_ratio(2, Estimate(2.5, 1.9, math.inf, 200)) > 0
    assert estimates.count_more_for_ratio(2, Estimate(1.5, 1, math.inf, 200)) == 200
