"""The knee of the curve, and what is left of the peak beyond it, each with an interval over the rounds.

A knee is where two bounds of a closed system meet (Lazowska et al., "Quantitative System Performance", 1984).
While nobody waits for another, each user more adds the same number of calls a second; at most the service serves its
peak. The number of users at which the first line reaches the second is the knee: from there on more users only wait.

An interval is a bootstrap's over the rounds: whole rounds are drawn, as what disturbs the machine disturbs all turns of
a round. The peak is looked for again in each draw, so that its choice is part of the uncertainty. Of few rounds a
bootstrap's interval is too narrow; it is widened as much as Student's t is wider than the normal distribution
(Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, 4.4: the expanded percentile interval).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from stress.estimates import RESAMPLES, SEED, TAIL, Values
from stress.model import Estimate

LIGHT_USERS = 10  # up to so many users nobody waits for another; of a knee below that the estimate is too high
BEYOND = 3  # times the users of the knee
FEWEST_ROUNDS = 3  # of fewer no interval says anything

Statistic = Callable[[Values], Values]  # of the mean of each number of users, along the last axis


def expand_confidence(rounds: int) -> float:
    """Return at which confidence a bootstrap over so many rounds has to be read to have CONFIDENCE."""
    reach = math.sqrt(rounds / (rounds - 1)) * stats.t.ppf(1 - TAIL, rounds - 1)
    return 1 - 2 * float(stats.norm.sf(reach))


@dataclass(frozen=True)
class GoodputCurve:
    """The calls served a second in each turn: by number of users, in ascending order, one value for each round."""

    turns: Mapping[int, Sequence[float]]

    @property
    def levels(self) -> tuple[int, ...]:
        """Return the numbers of users."""
        return tuple(self.turns)

    def estimate(self, statistic: Statistic) -> Estimate | None:
        """Return a statistic of the means of all levels; None of too few rounds."""
        columns = [np.asarray(values, dtype=np.float64) for values in self.turns.values()]
        rounds = len(columns[0])
        if rounds < FEWEST_ROUNDS:
            return None

        def compute(*drawn: Values, axis: int = -1) -> Values:
            return statistic(np.stack([values.mean(axis=axis) for values in drawn], axis=-1))

        found = stats.bootstrap(
            columns,
            compute,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=expand_confidence(rounds),
            method="percentile",
            rng=np.random.default_rng(SEED),
        ).confidence_interval
        return Estimate(float(compute(*columns)), float(found.low), float(found.high), rounds)

    def estimate_goodput(self, users: int) -> Estimate | None:
        """Return the calls served a second by so many users."""
        place = self.levels.index(users)
        return self.estimate(lambda means: means[..., place])

    def estimate_knee(self) -> Estimate | None:
        """Return the number of users at the knee."""
        light = [place for place, users in enumerate(self.levels) if users <= LIGHT_USERS]
        light_users = sum(self.levels[place] for place in light)

        def compute_knee(means: Values) -> Values:
            each_adds = means[..., light].sum(axis=-1) / light_users
            with np.errstate(divide="ignore", invalid="ignore"):
                users: Values = np.where(each_adds > 0, means.max(axis=-1) / each_adds, np.inf)
            return users

        return self.estimate(compute_knee)

    def find_peak(self) -> int:
        """Return the number of users with the highest mean."""
        return max(self.levels, key=lambda users: float(np.mean(self.turns[users])))

    def find_beyond(self, knee: float) -> int | None:
        """Return the smallest measured number of users that is BEYOND times the knee's; None if none is so high."""
        return next((users for users in self.levels if users >= BEYOND * knee), None)

    def estimate_kept_share(self, users: int) -> Estimate | None:
        """Return what so many users are served ÷ the peak, which is another number of users or the same."""
        place = self.levels.index(users)

        def compute_share(means: Values) -> Values:
            peak = means.max(axis=-1)
            with np.errstate(divide="ignore", invalid="ignore"):
                share: Values = np.where(peak > 0, means[..., place] / peak, 0.0)
            return share

        return self.estimate(compute_share)


def describe_curve(curve: GoodputCurve, describe: Callable[[Estimate], dict[str, Any]]) -> dict[str, Any]:
    """Return knee, peak, and what is left beyond the knee, for the file; None where rounds or users are too few."""
    knee = curve.estimate_knee()
    beyond = None if knee is None else curve.find_beyond(knee.value)
    kept = None if beyond is None else curve.estimate_kept_share(beyond)
    return {
        "knee_users": None if knee is None else describe(knee),
        "peak_users": curve.find_peak(),
        "beyond_users": beyond,
        "kept_share": None if kept is None else describe(kept),
    }
