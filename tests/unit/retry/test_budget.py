"""The retry budget: an outage is not made worse by those who meet it."""

import pytest

from shared.retry.budget import QUIET_S, RetryBudget
from tests.breakers import ManualTime


def count_retries(budget: RetryBudget, failures: int) -> int:
    """Return how many of `failures` failures are tried again."""
    return sum(budget.spend() for _ in range(failures))


def test_an_outage_is_paid_for_by_what_was_saved_and_no_more() -> None:
    """A thousand failures, one retry."""
    assert count_retries(RetryBudget(), 1000) == 1


def test_however_much_went_well_little_is_saved() -> None:
    """An environment that has served for days meets an outage like a new one."""
    budget = RetryBudget()
    for _ in range(10_000):
        budget.earn()
    assert count_retries(budget, 1000) == 1


def test_ten_successes_pay_for_a_retry() -> None:
    """Nine do not."""
    budget = RetryBudget()
    assert budget.spend()
    for _ in range(9):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()


def test_a_quiet_minute_makes_as_good_as_new() -> None:
    """An environment that few calls reach could not earn a retry between two incidents a minute apart."""
    time = ManualTime()
    budget = RetryBudget(timer=time.read_seconds)
    assert count_retries(budget, 3) == 1
    time.advance(QUIET_S - 0.001)
    assert not budget.spend()
    time.advance(QUIET_S)
    assert count_retries(budget, 3) == 1


def test_an_outage_has_no_quiet_minute_for_those_that_call() -> None:
    """A call every half a minute is no pause, however long the outage lasts."""
    time = ManualTime()
    budget = RetryBudget(timer=time.read_seconds)
    tried = 0
    for _ in range(1000):
        tried += budget.spend()
        time.advance(QUIET_S / 2)
    assert tried == 1


@pytest.mark.parametrize("failing", [0.05, 0.5, 0.9])
def test_calls_grow_by_a_tenth_at_most_however_many_fail(failing: float) -> None:
    """Requests of which every so-and-so-many-th fails: each failure asks for one more try."""
    budget, requests, calls = RetryBudget(), 10_000, 0
    for n in range(requests):
        calls += 1
        if int((n + 1) * failing) > int(n * failing):
            calls += budget.spend()
        else:
            budget.earn()
    assert calls <= 1.1 * requests
