"""The verdict on a run: only a complete, trusted, clean measurement passes."""

import itertools
from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress import verdict
from stress.estimates import compute_percentile
from stress.model import BUCKETS_MS, Assertion, Difference, Lag, Reconciliation, ScenarioResult, Status
from tests.stress.sample_results import make_pool

GOOD = Assertion("kept", passed=True, wanted="1", found="1")
BAD = replace(GOOD, passed=False, found="0")
OPEN = replace(BAD, undecided=True, more_samples=9)
CLEAN = Reconciliation({"claims": 3})
DIRTY = replace(CLEAN, differences=[Difference("claims", "id", "1", "0")])
IN_TIME, LATE = Lag(9, 1.0, 50.0, 90.0, 50.0), Lag(9, 1.0, 50.1, 50.1, 50.0)
VALUES = st.lists(st.floats(0, 1e6), max_size=60)
SHARES = st.sampled_from([0.001, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0])


@pytest.mark.parametrize(
    ("checks", "reconciliation", "lag", "samples", "expected"),
    [
        ([GOOD], CLEAN, IN_TIME, 10, "PASS"),
        ([GOOD, GOOD], CLEAN, None, 11, "PASS"),
        ([GOOD, BAD], CLEAN, IN_TIME, 10, "FAIL"),
        ([BAD, GOOD], CLEAN, None, 10, "FAIL"),
        ([GOOD, OPEN], CLEAN, IN_TIME, 10, "INVALID"),
        ([OPEN, BAD], CLEAN, IN_TIME, 10, "FAIL"),
        ([OPEN], DIRTY, IN_TIME, 10, "FAIL"),
        ([], CLEAN, IN_TIME, 10, "INVALID"),
        ([GOOD], Reconciliation(), IN_TIME, 10, "INVALID"),
        ([GOOD], CLEAN, LATE, 10, "INVALID"),
        ([BAD], CLEAN, LATE, 10, "INVALID"),
        ([GOOD], CLEAN, IN_TIME, 9, "INVALID"),
        ([BAD], CLEAN, IN_TIME, 9, "INVALID"),
        ([GOOD], DIRTY, IN_TIME, 10, "FAIL"),
        ([GOOD], DIRTY, LATE, 10, "FAIL"),
        ([], DIRTY, None, 0, "FAIL"),
    ],
)
def test_a_status_follows_from_what_was_found(
    checks: list[Assertion], reconciliation: Reconciliation, lag: Lag | None, samples: int, expected: Status
) -> None:
    """The scenario has to have ten samples."""
    assert verdict.judge_status(checks, reconciliation, lag, samples, 10) == expected


@given(
    checks=st.lists(st.sampled_from([GOOD, BAD, OPEN]), max_size=4),
    reconciliation=st.sampled_from([CLEAN, DIRTY]),
    lag=st.sampled_from([None, IN_TIME, LATE]),
    samples=st.integers(0, 20),
)
def test_only_one_way_leads_to_a_pass(
    checks: list[Assertion], reconciliation: Reconciliation, lag: Lag | None, samples: int
) -> None:
    """Checks that all hold, all samples, a generator in time, no difference."""
    whole = (
        bool(checks) and not {BAD, OPEN} & set(checks) and reconciliation is CLEAN and lag is not LATE and samples >= 10
    )
    assert (verdict.judge_status(checks, reconciliation, lag, samples, 10) == "PASS") == whole


@pytest.mark.parametrize("found", [*itertools.product(("PASS", "FAIL", "INVALID", "SKIPPED"), repeat=3), ()])
def test_a_run_is_as_good_as_its_worst_scenario(found: tuple[Status, ...]) -> None:
    """Skipped scenarios do not pass, nor does a run without any."""
    order: tuple[Status, ...] = ("FAIL", "INVALID", "SKIPPED", "PASS")
    results: list[ScenarioResult] = [replace(make_pool(), status=status) for status in found]
    assert verdict.combine_status(results) == (min(found, key=order.index) if found else "INVALID")


@given(values=VALUES, share=SHARES)
def test_a_percentile_is_the_nearest_rank(values: list[float], share: float) -> None:
    """The value at rank ⌈share × n⌉, counted from one."""
    expected = sorted(values)[ceil(Fraction(str(share)) * len(values)) - 1] if values else 0.0
    assert compute_percentile(values, share) == expected


@given(values=VALUES)
def test_a_latency_counts_each_call_once(values: list[float]) -> None:
    """A call counts in the first bucket that it fits, and in the last if it fits none."""
    found = verdict.summarise_latency("claim", values)
    assert (found.operation, found.calls, sum(found.histogram)) == ("claim", len(values), len(values))
    for nth, most in enumerate(BUCKETS_MS):
        assert sum(found.histogram[: nth + 1]) == sum(value <= most for value in values)
    shown = [each for each in (found.p50, found.p90, found.p95, found.p99) if each is not None]
    assert len(shown) == len(found.intervals) == sum(len(values) >= needed for needed in (6, 36, 72, 368))
    assert [*shown, found.most] == sorted([*shown, found.most])
    assert found.most == max(values, default=0.0)


def test_each_percentile_stands_under_its_own_name() -> None:
    """The samples are the numbers from 1 to 1000."""
    found = verdict.summarise_latency("claim", [float(n) for n in range(1, 1001)])
    assert (found.p50, found.p90, found.p95, found.p99, found.most) == (500, 900, 950, 990, 1000)
    assert found.intervals == {"p50": (469, 532), "p90": (881, 919), "p95": (936, 964), "p99": (983, 997)}


@given(values=VALUES, bar=st.floats(0.1, 100))
def test_the_generator_s_lateness_is_judged_by_its_99th_percentile(values: list[float], bar: float) -> None:
    """At the limit it is in time, above it the run is saturated; without calls there is nothing to judge."""
    lag = verdict.summarise_lag(values, bar)
    assert verdict.is_saturated(lag) == (compute_percentile(values, 0.99) > bar)
    if lag is None:
        assert not values
    else:
        p50, p99 = compute_percentile(values, 0.5), compute_percentile(values, 0.99)
        assert lag == Lag(len(values), p50, p99, max(values), bar)


def test_one_late_send_in_a_hundred_is_borne_and_two_are_not() -> None:
    """The bar is for the 99th percentile."""
    assert not verdict.is_saturated(verdict.summarise_lag([1.0] * 99 + [900.0]))
    assert verdict.is_saturated(verdict.summarise_lag([1.0] * 98 + [900.0] * 2))
