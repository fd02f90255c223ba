"""Two runs differ if their calls say so beyond chance, however many operations are compared."""

import numpy as np

from stress.report.differences import Latencies, find_differences

CASES = 20
OPERATIONS = 20  # compared on one page, about as many as a full run has
CALLS = (300, 900)  # of an operation
SPREAD = 0.3  # standard deviation of the logarithm


def make_runs(seed: int, **factors: float) -> tuple[Latencies, Latencies]:
    """Return two runs of one system; in the second the named operations take that many times as long."""
    dice = np.random.default_rng(seed)
    runs: tuple[dict[tuple[str, str], list[float]], ...] = ({}, {})
    for number in range(OPERATIONS):
        middle = dice.uniform(2, 6)
        for run, factor in zip(runs, (1.0, factors.get(f"o{number}", 1.0)), strict=True):
            run["members", f"o{number}"] = list(factor * dice.lognormal(middle, SPREAD, dice.integers(*CALLS)))
    return runs[0], runs[1]


def test_a_tenth_more_is_called_in_nineteen_of_twenty_cases() -> None:
    """One operation of twenty is slower by 10 %."""
    found = [find_differences(*make_runs(seed, o3=1.1))["members", "o3"].trend for seed in range(CASES)]
    assert found.count("slower") >= 19


def test_a_tenth_less_is_called_faster() -> None:
    """The same the other way round."""
    found = [find_differences(*make_runs(seed, o3=1 / 1.1))["members", "o3"].trend for seed in range(CASES)]
    assert found.count("faster") >= 19


def test_of_twenty_pages_without_a_difference_at_most_one_calls_any() -> None:
    """Twenty operations on each, so a test of each alone at 5 % would call one on most pages."""
    pages = [find_differences(*make_runs(100 + seed)) for seed in range(CASES)]
    assert sum(any(each.trend or each.tail_trend for each in page.values()) for page in pages) <= 1


def test_a_slower_tail_is_called_though_most_calls_are_as_fast() -> None:
    """One call in twenty waits for something new: the ranks of the others do not change."""
    before, after = make_runs(1)
    key = ("members", "o0")
    slow = [value * (3 if n % 20 == 0 else 1) for n, value in enumerate(after[key])]
    assert find_differences(before, {**after, key: slow})[key].tail_trend == "slower"


def test_what_one_run_lacks_or_has_too_few_of_is_not_compared() -> None:
    """Seven calls say nothing."""
    one, other = {("a", "x"): [1.0] * 7, ("a", "y"): [1.0] * 50}, {("a", "x"): [9.0] * 50}
    assert find_differences(one, other) == {}
    assert find_differences({}, {}) == {}
