"""A message whose job could not be looked at is shown again after a growing wait."""

import pytest

from worker.app import compute_retry_delay


@pytest.mark.parametrize(
    ("received", "soonest_s", "latest_s"), [(1, 5, 10), (2, 15, 30), (3, 45, 90), (4, 135, 270), (5, 150, 300)]
)
def test_a_message_is_shown_again_three_times_later_each_time(received: int, soonest_s: float, latest_s: float) -> None:
    """The delay is between half of 10 s, 30 s, 90 s … 300 s and all of it."""
    assert compute_retry_delay(received, lambda low, _high: low) == soonest_s
    assert compute_retry_delay(received, lambda _low, high: high) == latest_s
