"""The pool scenario's bars follow from the settings and from what this machine was measured to need."""

import pytest

from stress.profiles import FULL, SHORT, Profile
from stress.scenarios import pool
from stress.scenarios.pool import BORROW_S, SLOWEST_S, WORK_MARGIN, choose_write_time, list_steps
from stress.scenarios.pool_connections import compute_dead_host_s
from stress.scenarios.shared_steps import SLOW_S

TURNS = 5  # of the writes on the fewest connections
WORK_S = 1.0  # of one turn besides its writes, twice what a busy machine was seen to need


@pytest.mark.parametrize(("work_s", "write_s"), [(0.1, SLOW_S), (0.8, SLOW_S), (1.2, 1.2), (9.0, SLOWEST_S)])
def test_a_write_takes_as_long_as_the_machine_worked_on_all_of_them(work_s: float, write_s: float) -> None:
    """A constant was shorter than the work on a busy machine: 21 of 30 were under way together, 1.6 times as fast."""
    assert choose_write_time(work_s) == pytest.approx(write_s)


def test_nobody_waits_for_a_connection_longer_than_the_pool_allows() -> None:
    """Four turns of others come before the last."""
    assert (TURNS - 1) * (SLOWEST_S + WORK_S) <= BORROW_S


@pytest.mark.parametrize("work_s", [0.2, 0.8, 1.2, 1.5])
def test_a_fleet_that_takes_two_turns_instead_of_one_is_seen(work_s: float) -> None:
    """The time allowed for one turn must be shorter than the least that two turns take."""
    write_s = choose_write_time(work_s)
    assert write_s + WORK_MARGIN * work_s < 2 * write_s + work_s


@pytest.mark.parametrize(
    ("connect_s", "attempts", "least", "most"), [(2, 2, 4.1, 6), (10, 2, 20.1, 22), (10, 1, 10, 12)]
)
def test_the_time_allowed_on_a_dead_host_follows_from_the_settings(
    connect_s: float, attempts: int, least: float, most: float
) -> None:
    """One attempt more than the retry budget pays for does not fit in, nor does a longer connect timeout."""
    assert least < compute_dead_host_s(connect_s, attempts, is_checked=False) < most
    assert compute_dead_host_s(connect_s, attempts, is_checked=True) < least + connect_s + 1.0


@pytest.mark.parametrize("profile", [FULL, SHORT], ids=lambda profile: profile.name)
def test_both_ends_of_the_curve_are_measured(profile: Profile) -> None:
    """More than once if speed is judged: the worst of them is compared."""
    steps = list_steps(profile)
    assert (steps[0], steps[-1]) == (profile.pool_steps[0], profile.pool_steps[-1])
    assert steps.count(steps[0]) == steps.count(steps[-1]) == (3 if profile.judges_speed else 1)
    assert pool.count_curve_bursts(profile) == len(steps) + pool.WORK_BURSTS
