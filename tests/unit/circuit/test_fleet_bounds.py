"""The most calls that reach a dead service, whatever the fleet did before; and failures too few to open a circuit."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.breakers import EMAIL
from tests.simulated_environments import SimulatedEnvironments

THRESHOLD = EMAIL.failures
SIZES = pytest.mark.parametrize("size", [1, 10, 20, 50])
CALM_S = 2 * EMAIL.refresh_s


@SIZES
@pytest.mark.parametrize("successes", [0, 1, 60, 600, 6000])
def test_five_calls_reach_a_dead_service_after_any_minute(size: int, successes: int) -> None:
    """Environments that ask the store call in turn: nobody's good minute is a credit."""
    fleet = SimulatedEnvironments(size)
    fleet.serve_for_a_minute(successes)
    fleet.time.advance(CALM_S)
    before = fleet.reached
    for n in range(6 * size + THRESHOLD):
        fleet.call(n % size, failed=True)
    assert (fleet.reached - before, fleet.state) == (THRESHOLD, "open")


@SIZES
@pytest.mark.parametrize("successes", [60, 600, 6000])
def test_of_environments_that_saw_all_well_within_a_second_each_calls_once_more(size: int, successes: int) -> None:
    """They call in turn, and the service dies in the middle of its best minute."""
    fleet = SimulatedEnvironments(size)
    fleet.serve_for_a_minute(successes)
    before, unaware = fleet.reached, fleet.count_unaware()
    for n in range(6 * size + THRESHOLD):
        fleet.call(n % size, failed=True, lasting_s=0.001)
    assert fleet.reached - before <= THRESHOLD + unaware
    assert fleet.state == "open"


@SIZES
@pytest.mark.parametrize("successes", [0, 60, 600, 6000])
def test_of_calls_made_at_once_only_those_in_flight_come_on_top(size: int, successes: int) -> None:
    """Round after round, all begun before the first of them ends; in the midst of the best minute too."""
    fleet = SimulatedEnvironments(size)
    fleet.serve_for_a_minute(successes)
    before = fleet.reached
    for _ in range(6):
        begun = [n for n in range(size) if fleet.begin(n)]
        for n in begun:
            fleet.time.advance(0.001)
            fleet.end(n, failed=True)
    assert fleet.reached - before <= THRESHOLD + size
    assert fleet.state == "open"


def test_no_order_in_which_environments_call_wins_more_than_one_call_for_each() -> None:
    """One calls as often as it may; between its calls the others make their first, one after another."""
    fleet = SimulatedEnvironments(10)
    fleet.serve_for_a_minute(6000)
    before, unaware = fleet.reached, fleet.count_unaware()
    for n in range(1, 10):
        for _ in range(THRESHOLD - 1):
            fleet.call(0, failed=True, lasting_s=0.001)
        fleet.call(n, failed=True, lasting_s=0.001)
    assert fleet.reached - before <= THRESHOLD + unaware


acts = st.tuples(st.integers(0, 5), st.floats(0.0, 2.0), st.sampled_from(["well", "well", "well", "failed"]))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 6), st.lists(acts, max_size=40), st.lists(acts, min_size=40, max_size=80))
def test_from_any_state_a_dead_service_is_called_up_to_the_threshold(
    size: int, before: list[tuple[int, float, str]], after: list[tuple[int, float, str]]
) -> None:
    """Calls in flight are added, and one of each environment that saw all well within the last second."""
    fleet = SimulatedEnvironments(size)
    for n, pause, end in before:
        act(fleet, n % size, pause / 4, failed=end == "failed")
    if fleet.state != "closed":
        return
    unaware, under_way, reached = fleet.count_unaware(), len(fleet.under_way), fleet.reached
    most = under_way
    for n, pause, _ in after:
        act(fleet, n % size, pause / 10, failed=True)
        if fleet.state != "closed" and fleet.store.read(EMAIL.name).generation > 1:
            break  # a probe: the outage has lasted for the open time
        most = max(most, len(fleet.under_way))
        assert fleet.reached - reached + under_way <= THRESHOLD + most + unaware


def act(fleet: SimulatedEnvironments, n: int, pause_s: float, *, failed: bool) -> None:
    """Time passes; then an environment's call ends, or it begins one."""
    fleet.time.advance(pause_s + 1e-6)
    if n in fleet.under_way:
        fleet.end(n, failed=failed)
    else:
        fleet.begin(n)


@SIZES
@pytest.mark.parametrize("pause_s", [0.05, 0.6, 5.0])
def test_five_failures_spread_over_ninety_five_successes_do_not_open_it(size: int, pause_s: float) -> None:
    """Evenly, ten times over, also where one environment has them all."""
    fleet = SimulatedEnvironments(size)
    for n in range(1000):
        assert fleet.call(n % size, failed=n % 20 == 19)
        fleet.time.advance(pause_s)


@SIZES
def test_one_failure_in_a_hundred_at_random_does_not_open_it(size: int) -> None:
    """There are 5,000 calls, at the rate at which half of the environments are busy."""
    fleet = SimulatedEnvironments(size)
    assert fleet.count_calls_until_open(0.01, 5000, per_s=size * 5, lasting_s=0.1, random=Random(size)) is None


@SIZES
def test_half_of_the_calls_failing_at_random_opens_it(size: int) -> None:
    """It opens within a hundred calls, plus those under way."""
    for seed in range(5):
        fleet = SimulatedEnvironments(size)
        opened = fleet.count_calls_until_open(0.5, 5000, per_s=size * 5, lasting_s=0.1, random=Random(seed))
        assert opened is not None
        assert opened <= 100 + size


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.0, 3.0)), max_size=60))
def test_success_writes_nothing_and_reads_once_in_the_refresh_interval(calls: list[tuple[int, float]]) -> None:
    """This holds for any number of environments at any times."""
    fleet = SimulatedEnvironments(5)
    began = fleet.time.read_seconds()
    for n, pause in calls:
        assert fleet.call(n, failed=False)
        fleet.time.advance(pause)
    lasted = fleet.time.read_seconds() - began
    assert set(fleet.store.calls) <= {"read"}
    assert len(fleet.store.calls) <= 5 * (lasted / EMAIL.refresh_s + 1)
