"""The pool scenario's writes take long beside the work on them, however slow the machine is."""

import pytest

from stress.scenarios.pool import SLOWEST_S, choose_write_time
from stress.scenarios.shared_steps import SLOW_S

BORROW_S = 10.0  # the pool's, as deployed
TURNS = 5  # of the writes on the fewest connections
WORK_S = 1.0  # of one turn besides its writes, twice what a busy machine was seen to need


@pytest.mark.parametrize(("took_s", "write_s"), [(1.7, SLOW_S), (2.4, SLOW_S), (2.8, 1.2), (9.0, SLOWEST_S)])
def test_a_write_takes_as_long_as_the_machine_worked_on_all_of_them(took_s: float, write_s: float) -> None:
    """A constant was shorter than the work on a busy machine: 21 of 30 were under way together, 1.6 times as fast."""
    assert choose_write_time(took_s) == pytest.approx(write_s)


def test_nobody_waits_for_a_connection_longer_than_the_pool_allows() -> None:
    """Four turns of others come before the last."""
    assert (TURNS - 1) * (SLOWEST_S + WORK_S) <= BORROW_S
