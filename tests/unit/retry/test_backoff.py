"""The wait before a retry is drawn anew from a span that grows until it has reached its cap."""

import pytest

from shared.retry.backoff import Backoff

BACKOFF = Backoff(retries=4, base_s=0.5, factor=3.0, cap_s=10.0)


@pytest.mark.parametrize(("attempt", "longest_s"), [(0, 0.5), (1, 1.5), (2, 4.5), (3, 10.0), (300, 10.0)])
def test_a_wait_is_drawn_between_nothing_and_a_span_that_grows_up_to_the_cap(attempt: int, longest_s: float) -> None:
    """Full jitter: whoever failed together does not come back together."""
    spans: list[tuple[float, float]] = []

    def draw(least: float, most: float) -> float:
        spans.append((least, most))
        return 0.25

    assert BACKOFF.compute_delay(attempt, draw) == 0.25
    assert spans == [(0.0, longest_s)]
