"""The flood of the priorities scenario lasts longer than what is measured behind it, however fast the machine is."""

import pytest

from stress.scenarios.priorities import MOST_PEOPLE, PEOPLE, TIMES_AS_MANY, compute_flood_size, count_most_within


@pytest.mark.parametrize("drained_a_second", [0.5, 14.0, 150.0, 2000.0])
def test_a_flood_outlasts_the_registrations_three_times(drained_a_second: float) -> None:
    """Its size follows from how fast low jobs were done a moment before."""
    seconds = PEOPLE / MOST_PEOPLE
    count = compute_flood_size(drained_a_second, 1000, MOST_PEOPLE)
    assert count >= 1000
    assert count / drained_a_second >= TIMES_AS_MANY * seconds
    assert TIMES_AS_MANY > 1


def test_a_fast_machine_gets_a_larger_flood() -> None:
    """A constant was drained before the last high job was measured, and nothing was proven."""
    assert compute_flood_size(1000.0, 1000, 5.0) == 3 * 1000 * PEOPLE / 5
    assert compute_flood_size(14.0, 1000, 5.0) == 1000


def test_the_pace_is_the_most_mails_of_any_window() -> None:
    """The windows may lie anywhere."""
    assert count_most_within([0.0, 5.0, 9.0, 10.0, 10.1, 12.0], 10.0) == 5
    assert count_most_within([], 10.0) == 0
