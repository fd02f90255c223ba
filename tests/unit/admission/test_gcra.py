"""A limit is exact: never one request more than it says, and never refused longer than it names."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.admission import gcra
from shared.admission.ports import RateLimit
from shared.units import SECOND, convert_to_epoch_micros

START = convert_to_epoch_micros(datetime(2026, 11, 2, tzinfo=UTC))
FIVE_A_MINUTE = RateLimit("registration", burst=5, period_s=60)

limits = st.builds(
    RateLimit,
    name=st.just("any"),
    burst=st.integers(1, 60),
    period_s=st.one_of(st.integers(1, 600).map(float), st.floats(0.001, 600)),
)
gaps = st.lists(st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 60_000_000)), min_size=1, max_size=80)


def list_accepted(limit: RateLimit, times: list[int]) -> list[int]:
    """Return those of `times` at which a request is accepted."""
    tat, accepted = None, []
    for now in times:
        decision = gcra.decide(limit, tat, now)
        tat = decision.tat
        if decision.accepted:
            accepted.append(now)
    return accepted


def compute_times(gaps: list[int]) -> list[int]:
    """Rising times with those gaps, in microseconds."""
    times = [START]
    for gap in gaps:
        times.append(times[-1] + gap)
    return times


def test_of_twenty_requests_at_one_instant_five_are_accepted() -> None:
    """5 / 60 lets five of twenty at the same microsecond through, and refuses fifteen."""
    assert len(list_accepted(FIVE_A_MINUTE, [START] * 20)) == 5


def test_after_a_burst_one_comes_back_every_interval() -> None:
    """A spent bucket of 5 / 60 accepts one request each 12 s, not a microsecond earlier."""
    times = [START] * 5 + [START + 12_000_000 - 1, START + 12_000_000, START + 12_000_000, START + 24_000_000]
    assert list_accepted(FIVE_A_MINUTE, times) == [START] * 5 + [START + 12_000_000, START + 24_000_000]


def test_a_bucket_is_full_again_after_its_period() -> None:
    """A minute after five at once, five more at once are accepted."""
    assert len(list_accepted(FIVE_A_MINUTE, [START] * 5 + [START + 60_000_000] * 6)) == 10


@given(limits, gaps)
def test_no_window_holds_more_than_the_limit(limit: RateLimit, gaps: list[int]) -> None:
    """Between any two accepted requests lie at most burst + elapsed / interval accepted ones."""
    accepted = list_accepted(limit, compute_times(gaps))
    for first, begin in enumerate(accepted):
        for last in range(first, len(accepted)):
            elapsed = accepted[last] - begin
            assert last - first + 1 <= limit.burst + elapsed // gcra.compute_interval(limit)


@given(limits, gaps)
def test_retry_after_is_exact(limit: RateLimit, gaps: list[int]) -> None:
    """A refused call is refused until a microsecond before the named time, and accepted at it."""
    tat = None
    for now in compute_times(gaps):
        decision = gcra.decide(limit, tat, now)
        tat = decision.tat
        if not decision.accepted:
            assert not gcra.decide(limit, tat, now + decision.retry_after_us - 1).accepted
            assert gcra.decide(limit, tat, now + decision.retry_after_us).accepted


@given(limits, gaps)
def test_remaining_is_how_many_more_are_accepted_now(limit: RateLimit, gaps: list[int]) -> None:
    """`remaining` requests at the same instant are accepted, and the next is refused."""
    tat = None
    for now in compute_times(gaps):
        decision = gcra.decide(limit, tat, now)
        tat = decision.tat
        more, after = 0, tat
        while (following := gcra.decide(limit, after, now)).accepted:
            more, after = more + 1, following.tat
        assert decision.quota.remaining == more


@given(limits, gaps)
def test_reset_is_when_the_whole_burst_is_back(limit: RateLimit, gaps: list[int]) -> None:
    """A whole burst is accepted after `reset_s`, and no microsecond earlier."""
    times = compute_times(gaps)
    tat = None
    for now in times:
        decision = gcra.decide(limit, tat, now)
        tat = decision.tat
    full_at = times[-1] + round(decision.quota.reset_s * SECOND)
    assert gcra.compute_quota(limit, decision.tat, full_at).remaining == limit.burst
    assert gcra.compute_quota(limit, decision.tat, full_at - 1).remaining == limit.burst - 1


@given(limits, gaps)
def test_next_is_when_one_more_is_there(limit: RateLimit, gaps: list[int]) -> None:
    """One more call remains after `next_s`, and no microsecond earlier; at once if none is missing."""
    tat = None
    for now in compute_times(gaps):
        tat = gcra.decide(limit, tat, now).tat
        quota = gcra.compute_quota(limit, tat, now)
        more_at = now + round(quota.next_s * SECOND)
        assert gcra.compute_quota(limit, tat, more_at).remaining == min(quota.remaining + 1, limit.burst)
        assert gcra.compute_quota(limit, tat, more_at - 1).remaining == quota.remaining
    assert gcra.compute_quota(limit, START, START).next_s == 0


@given(limits, gaps)
def test_a_tat_never_goes_back(limit: RateLimit, gaps: list[int]) -> None:
    """A TAT seen before is a lower bound of the next one, whatever is decided."""
    tat = 0
    for now in compute_times(gaps):
        following = gcra.decide(limit, tat, now).tat
        assert following >= tat
        tat = following


@given(limits)
def test_an_interval_is_never_rounded_down(limit: RateLimit) -> None:
    """The whole burst takes at least the period to come back, and at most a microsecond each longer."""
    period = round(limit.period_s * SECOND)
    assert 0 <= gcra.compute_interval(limit) * limit.burst - period < limit.burst


def test_a_clock_that_lags_is_refused_and_gives_nothing_away() -> None:
    """A request stamped before the last one waits for its own clock to catch up; the TAT stays."""
    spent = gcra.decide(FIVE_A_MINUTE, START + 48_000_001, START)
    assert (spent.accepted, spent.tat, spent.retry_after_us) == (False, START + 48_000_001, 1)


def test_the_latest_tat_is_the_last_that_is_accepted() -> None:
    """The bound that a table can compare with agrees with the decision."""
    latest = gcra.compute_latest_tat(FIVE_A_MINUTE, START)
    assert gcra.decide(FIVE_A_MINUTE, latest, START).accepted
    assert not gcra.decide(FIVE_A_MINUTE, latest + 1, START).accepted


def test_micros_are_exact() -> None:
    """No microsecond is lost where a float of seconds would round."""
    assert convert_to_epoch_micros(datetime(2026, 11, 2, 9, 30, 0, 123_457, tzinfo=UTC)) % SECOND == 123_457


def test_the_memory_forgets_the_bucket_unseen_longest() -> None:
    """No more than `size` clients are remembered, and the newest stay."""
    memory = gcra.RecentBuckets(size=2)
    for bucket, tat in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        memory.learn(bucket, tat)
    assert [memory.get(bucket) for bucket in "abc"] == [3, None, 4]


@pytest.mark.parametrize("seen", [None, 5])
def test_the_memory_holds_what_was_seen_last(seen: int | None) -> None:
    """A bucket that is gone from the table is gone from the memory too."""
    memory = gcra.RecentBuckets(size=2)
    memory.learn("a", 10)
    memory.learn("a", seen)
    assert memory.get("a") == seen


def test_one_request_comes_back_in_each_part_of_the_period() -> None:
    """A whole burst comes back in the whole period."""
    assert FIVE_A_MINUTE.interval_s == 12.0


def test_a_request_that_is_accepted_has_nothing_to_wait_for() -> None:
    """Its bucket has four more."""
    decision = gcra.decide(FIVE_A_MINUTE, None, START)
    assert (decision.accepted, decision.retry_after_us) == (True, 0)
    assert (decision.quota.limit, decision.quota.remaining) == (FIVE_A_MINUTE, 4)
