"""Jobs are late by the rate of mails, in tables and against simulated queues."""

from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from health.lateness import COUNTED_AT_MOST, LOOK_BACK_S, MARGIN_S, is_late
from shared.settings import Settings

DEPLOYED = Settings().mail_rate
PRIORITIES = st.sampled_from(sorted(MARGIN_S))
SECONDS = st.floats(0, 100_000)
SENT = st.integers(0, 20_000)
RATES = st.floats(0.01, 1_000)
# A stopped queue is noticed when too few mails were sent in the part of the past that is looked at.
SEEN_WITHIN_S = 500.0


@pytest.mark.parametrize(
    ("priority", "waits_s", "sent", "late"),
    [
        ("high", 120, 0, False),
        ("high", 121, 0, True),
        ("high", 130, 130, False),  # the last of 130 registrations of one moment
        ("normal", 300, 0, False),
        ("normal", 301, 0, True),
        ("low", 301, 0, True),
        ("low", 301, 301, False),  # the 301st of many that were written at once
        ("low", 3_000, 1_200, False),  # of 3,000; the last 20 minutes are looked at
        ("low", 3_000, 100, True),
    ],
)
def test_at_the_deployed_rate_a_job_is_late_when_the_mails_before_it_do_not_explain_its_wait(
    priority: str, waits_s: float, sent: int, late: bool
) -> None:
    """The rate is one mail a second, that of SES's sandbox."""
    assert DEPLOYED == 1
    assert is_late(priority, waits_s, sent, rate=DEPLOYED) is late


@pytest.mark.parametrize(("rate", "late"), [(0.1, False), (1, False), (14, True)])
def test_the_same_wait_is_late_where_the_rate_would_have_let_more_through(rate: float, late: bool) -> None:
    """300 mails in 350 s are all that 1 a second allows, and little of 14 a second."""
    assert is_late("low", 350, 300, rate=rate) is late


def test_so_many_mails_that_nobody_counts_them_are_no_queue_that_stands_still() -> None:
    """The count ends there, so what it says of the rate would be wrong."""
    assert not is_late("low", LOOK_BACK_S, COUNTED_AT_MOST, rate=1_000)
    assert is_late("low", LOOK_BACK_S, COUNTED_AT_MOST - 1, rate=1_000)


@given(PRIORITIES, SECONDS, SENT, RATES, st.integers(0, 1_000), SECONDS)
def test_more_mails_excuse_and_more_waiting_accuses(
    priority: str, waits_s: float, sent: int, rate: float, more: int, longer_s: float
) -> None:
    """One more mail never makes a queue late, and one more second never makes it timely."""
    late = is_late(priority, waits_s, sent, rate=rate)
    assert late or not is_late(priority, waits_s, sent + more, rate=rate)
    assert not late or is_late(priority, waits_s + longer_s, sent, rate=rate)


@given(PRIORITIES, SECONDS, SENT, RATES)
def test_nothing_is_late_within_its_margin(priority: str, waits_s: float, sent: int, rate: float) -> None:
    """This holds for any number of sent mails."""
    assert not is_late(priority, min(waits_s, MARGIN_S[priority]), sent, rate=rate)


def count_sent_since(left: list[float], since: float, now: float) -> int:
    """Return how many left since then, as the health check counts them."""
    return min(COUNTED_AT_MOST, sum(max(since, now - LOOK_BACK_S) <= moment <= now for moment in left))


@given(PRIORITIES, st.sampled_from([0.1, 1.0, 14.0]), st.lists(st.floats(0, 20), min_size=1, max_size=400))
@example("low", 1.0, [0.0] * 400)  # all at once: the last waits for longer than the margin
def test_a_queue_that_moves_at_the_rate_is_never_late(priority: str, rate: float, gaps: list[float]) -> None:
    """Whenever its mails are written, and however long they wait: each leaves when the one before it has."""
    written = list(accumulate(gap / rate for gap in gaps))
    left = list(accumulate(written, lambda free, at: max(free, at) + 1 / rate, initial=0.0))[1:]
    for at, leaves in zip(written, left, strict=True):
        assert not is_late(priority, leaves - at, count_sent_since(left, at, leaves - 0.001), rate=rate)


@pytest.mark.parametrize("priority", MARGIN_S)
@pytest.mark.parametrize("rate", [1.0, 14.0])
@pytest.mark.parametrize("went_well_s", [0, 60, 600, 6_000])
def test_a_queue_that_stops_is_seen_to_soon_however_well_it_went(priority: str, rate: float, went_well_s: int) -> None:
    """The time counts from the last mail on, with one job that waits since the beginning."""
    left = [n / rate for n in range(int(went_well_s * rate))]
    now = went_well_s + SEEN_WITHIN_S
    assert is_late(priority, now, count_sent_since(left, 0.0, now), rate=rate)
