"""Estimates with their intervals at 95 %: a percentile, a share, a ratio of two percentiles or of two shares.

An interval says between which values the truth lies, of which some samples show only a part: with another run of the
same system the value would fall elsewhere. What is too little for an interval is a TooFewSamples, never a figure.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from stress.model import Estimate

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2  # beyond each end of an interval
SEED = 20261127  # of the bootstrap, so that a judge who repeats it gets the same ends
RESAMPLES = 4000  # leaves the ends of an interval uncertain by a tenth of a tail
BATCH_VALUES = 2_000_000  # drawn at a time: 16 MB, however many samples there are
MOST_TRIALS = 10_000_000  # more would be needed: the value lies on its bar

Values = NDArray[np.float64]
Statistic = Callable[[Values], Values]  # of the values along the last axis


@dataclass(frozen=True)
class TooFewSamples:
    """The number of samples of something, and how many its interval needs."""

    samples: int
    needed: int

    @property
    def more(self) -> int:
        """Return how many are missing."""
        return self.needed - self.samples


def count_samples_needed(share: float) -> int:
    """Return from how many samples on a percentile has an interval with two ends: 72 for the 95th, 368 for the 99th."""
    return math.ceil(math.log(TAIL) / math.log(max(share, 1 - share)))


def bound_percentile(values: Sequence[float], share: float) -> tuple[float, float]:
    """Return the interval of a percentile; an end that the samples are too few for is infinite.

    Its ends are samples themselves. The number of samples up to the percentile is binomial, whatever the distribution:
    the end is that sample of which no fewer, or no more, are below the percentile but with a probability of TAIL.
    """
    ranked, count = sorted(values), len(values)
    if not count:
        return -math.inf, math.inf
    first = int(stats.binom.ppf(TAIL, count, share))  # ranks count from 1: there is no sample of rank 0
    last = int(stats.binom.ppf(1 - TAIL, count, share)) + 1
    return ranked[first - 1] if first else -math.inf, ranked[last - 1] if last <= count else math.inf


def compute_percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least a `share` of all do not exceed (nearest rank); 0 of none."""
    return sorted(values)[find_rank(len(values), share) - 1] if values else 0.0


def find_rank(count: int, share: float) -> int:
    """Return the place, from 1, of the percentile among `count` sorted samples."""
    return max(1, -(-round(share * 1000) * count // 1000))


def estimate_percentile(values: Sequence[float], share: float) -> Estimate | TooFewSamples:
    """Return a percentile by nearest rank, with an interval that holds for any distribution."""
    if len(values) < (needed := count_samples_needed(share)):
        return TooFewSamples(len(values), needed)
    return Estimate(compute_percentile(values, share), *bound_percentile(values, share), len(values))


def estimate_share(events: int, trials: int) -> Estimate | TooFewSamples:
    """Return the share of trials with an event, with the exact interval (Clopper and Pearson, 1934).

    Of no event, or of nothing else, the interval has one end, and all of the 5 % is beyond that: "0 of 10,670: below
    0.03 %" is the rule of three.
    """
    if not trials:
        return TooFewSamples(0, 1)
    return Estimate(events / trials, *bound_share(events, trials, 1 - CONFIDENCE), trials)


def bound_share(events: int, trials: int, beyond: float) -> tuple[float, float]:
    """Return the interval of a share; `beyond` is the probability that the true share is outside of it."""
    tail = beyond if events in (0, trials) else beyond / 2
    low = float(stats.beta.ppf(tail, events, trials - events + 1)) if events else 0.0
    high = float(stats.beta.ppf(1 - tail, events + 1, trials - events)) if events < trials else 1.0
    return low, high


def estimate_ratio(
    numerator_values: Sequence[float], denominator_values: Sequence[float], statistic: Statistic, seed: int = SEED
) -> Estimate | TooFewSamples:
    """Return the ratio of a statistic of two sets of samples, with a bootstrap's interval, the same for each seed.

    It takes long for many samples: don't use it while calls are being sent.
    """
    fewest = min(len(numerator_values), len(denominator_values))
    if fewest < 2:
        return TooFewSamples(fewest, 2)

    def compute_ratio(numerator: Values, denominator: Values, axis: int = -1) -> Values:
        return _divide(*(statistic(np.moveaxis(values, axis, -1)) for values in (numerator, denominator)))

    sides = (np.asarray(numerator_values, dtype=np.float64), np.asarray(denominator_values, dtype=np.float64))
    with np.errstate(invalid="ignore"):  # the standard error of infinite ratios, which nothing needs
        found = stats.bootstrap(
            sides,
            compute_ratio,
            n_resamples=RESAMPLES,
            batch=max(1, BATCH_VALUES // max(map(len, sides))),
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    ends = found.confidence_interval
    return Estimate(float(compute_ratio(*sides)), float(ends.low), float(ends.high), sum(map(len, sides)))


def estimate_percentile_ratio(
    numerator_values: Sequence[float], denominator_values: Sequence[float], share: float, seed: int = SEED
) -> Estimate | TooFewSamples:
    """Return the ratio of one percentile of two sets of samples, each of as many as the percentile needs.

    Its interval is a bootstrap's, without the drawing of all samples, which would keep a load generator from its work:
    the percentile of n draws is one of the samples, and its place has a beta distribution.
    """
    fewest, needed = min(len(numerator_values), len(denominator_values)), count_samples_needed(share)
    if fewest < needed:
        return TooFewSamples(fewest, needed)
    dice = np.random.default_rng(seed)
    above, below = (_draw_percentiles(values, share, dice) for values in (numerator_values, denominator_values))
    low, high = np.quantile(_divide(above, below), (TAIL, 1 - TAIL), method="inverted_cdf")
    values = (compute_percentile(side, share) for side in (numerator_values, denominator_values))
    ratio = _divide(*(np.array([value]) for value in values))
    return Estimate(float(ratio[0]), float(low), float(high), len(numerator_values) + len(denominator_values))


def _draw_percentiles(values: Sequence[float], share: float, dice: np.random.Generator) -> Values:
    ranked, count = np.sort(np.asarray(values, dtype=np.float64)), len(values)
    rank = find_rank(count, share)
    places = (dice.beta(rank, count - rank + 1, RESAMPLES) * count).astype(int)
    drawn: Values = ranked[np.minimum(places, count - 1)]
    return drawn


def _divide(above: Values, below: Values) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Values = np.where(below == 0, np.inf, above / below)
    return ratios


def estimate_share_ratio(events: int, trials: int, other_events: int, other_trials: int) -> Estimate | TooFewSamples:
    """Return one share ÷ another. Its interval is wide rather than wrong: the ends of both shares, each at 97.5 %."""
    if not (trials and other_trials):
        return TooFewSamples(min(trials, other_trials), 1)
    low, high = bound_share(events, trials, (1 - CONFIDENCE) / 2)
    other_low, other_high = bound_share(other_events, other_trials, (1 - CONFIDENCE) / 2)
    share, other = events / trials, other_events / other_trials
    return Estimate(
        share / other if other else math.inf,
        low / other_high,
        high / other_low if other_low else math.inf,
        trials + other_trials,
    )


def count_more_for_share(bar: float, events: int, trials: int) -> int:
    """Return how many trials more would decide whether a share is at most `bar`, if the share stays what it is.

    MOST_TRIALS altogether if even those would not.
    """
    share = events / trials if trials else 0.0

    def is_decided(count: int) -> bool:
        wanted = math.ceil(share * count - 1e-9) if share <= bar else math.floor(share * count + 1e-9)
        low, high = bound_share(wanted, count, 1 - CONFIDENCE)
        return high <= bar or low > bar

    least = most = max(trials, 1)
    while not is_decided(most):
        least, most = most, 2 * most
        if most > MOST_TRIALS:
            return MOST_TRIALS - trials
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if is_decided(middle) else (middle, most)
    return most - trials


def count_more_for_ratio(bar: float, estimate: Estimate) -> int:
    """Return how many samples more would decide on which side of `bar` a ratio is, if it stays what it is.

    An interval narrows with the square root of the number of samples.
    """
    if not (0 < estimate.value < math.inf) or bar <= 0 or estimate.value == bar:
        return MOST_TRIALS - estimate.samples
    end = estimate.high if estimate.value < bar else estimate.low
    if not (0 < end < math.inf):
        return estimate.samples  # twice as many, and see
    reach, distance = abs(math.log(end / estimate.value)), abs(math.log(bar / estimate.value))
    return min(max(1, math.ceil(estimate.samples * ((reach / distance) ** 2 - 1))), MOST_TRIALS)
