"""Mails leave at the rate and never faster, high ones first, and none is forgotten: any arrivals, in virtual time."""

import random
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.settings import Settings
from tests.measurements import record
from tests.pacing_simulation import MS, SECOND, PacingSimulation, SimulatedMail
from worker.priority_pacing import (
    OVERDUE,
    OVERDUE_BEFORE_NORMAL,
    PacingRules,
    PacingState,
    Priority,
    ReturnToQueue,
    SendSlot,
    decide,
)

HIGH, NORMAL, LOW = Priority
# What a mail takes besides its turn: relay, queue, claim and two table calls, each late by a random time.
WAY = 300 * MS
# The time until the table knows that a worker waits: up to three writes, all but the last lost to others.
ASKING = 100 * MS
DEPLOYED_BURST: int = Settings.model_fields["mail_burst"].default
RATES = st.sampled_from([0.2, 1.0, 3.0, 14.0, 100.0, 1000.0])


def make_mails(priority: Priority, arrivals: Iterable[int]) -> list[SimulatedMail]:
    """Mails of a class, by the times at which their jobs are committed."""
    return [SimulatedMail(priority, arrived) for arrived in arrivals]


def draw_arrivals(most: int, within_s: int = 60) -> st.SearchStrategy[list[int]]:
    """Return times of up to `most` jobs, at random or at one instant."""
    return st.lists(st.integers(0, within_s * SECOND) | st.just(0), max_size=most)


def make_random_arrivals(count: int, rate: float, seed: int) -> list[int]:
    """Return times of `count` jobs that come at random, `rate` in a second on average."""
    numbers, now, times = random.Random(seed), 0.0, []
    for _ in range(count):
        now += numbers.expovariate(rate)
        times.append(round(now * SECOND))
    return times


def compute_percentile(values: list[int], share: float) -> int:
    """Return a percentile, by the nearest rank."""
    return sorted(values)[max(0, -(-round(share * 100) * len(values) // 100) - 1)]


@settings(max_examples=60, deadline=None)
@given(RATES, st.integers(1, 5), draw_arrivals(40), draw_arrivals(40), draw_arrivals(60), st.integers())
def test_the_rate_is_never_exceeded_and_every_mail_leaves_once(
    rate: float, burst: int, high: list[int], normal: list[int], low: list[int], seed: int
) -> None:
    """The last of any n mails in a row leaves (n - burst) intervals after the first, or later."""
    rules = PacingRules.from_rate(rate, burst)
    done = PacingSimulation(
        rules, make_mails(HIGH, high) + make_mails(NORMAL, normal) + make_mails(LOW, low), seed
    ).run()
    moments = done.moments
    assert len(moments) == len(high) + len(normal) + len(low)
    for earlier, later in zip(moments, moments[burst:], strict=False):
        assert later - earlier >= rules.interval


@settings(max_examples=60, deadline=None)
@given(RATES, st.integers(1, 5), draw_arrivals(30), st.integers(0, 200), st.integers(0, 200), st.integers())
def test_a_flood_delays_high_mails_by_the_one_that_is_leaving(
    rate: float, burst: int, high: list[int], normal: int, low: int, seed: int
) -> None:
    """The n-th high mail leaves an interval and a quarter later than without the flood, at most.

    Only overdue mails come on top, one each per share. What was handed back comes by wake-ups of whole seconds.
    """
    rules = PacingRules.from_rate(rate, burst)
    alone = PacingSimulation(rules, make_mails(HIGH, high), seed).run()
    flood = make_mails(NORMAL, [0] * normal) + make_mails(LOW, [0] * low)
    behind = PacingSimulation(rules, make_mails(HIGH, high) + flood, seed).run()
    for n, (quiet, busy) in enumerate(zip(alone.list_sent(HIGH), behind.list_sent(HIGH), strict=True)):
        assert quiet.left is not None
        assert busy.left is not None
        span = busy.left - behind.moments[0]
        overdue = sum(1 + span // (OVERDUE[each] * rules.interval) for each in (NORMAL, LOW))
        returns = 3 * SECOND if any(m.handed_back for m in behind.list_sent(HIGH)) else 0
        most = rules.interval * 5 // 4 + overdue * rules.interval + WAY + returns
        assert busy.left - quiet.left <= most, n


@settings(max_examples=40, deadline=None)
@given(RATES, st.sampled_from([1, DEPLOYED_BURST]), st.integers(1, 60), st.integers(1, 120), st.integers())
def test_normal_mails_go_before_low_ones(rate: float, burst: int, normal: int, low: int, seed: int) -> None:
    """In a flood of both, low mails pass a waiting normal one as often as their share says, and once."""
    rules = PacingRules.from_rate(rate, burst)
    done = PacingSimulation(rules, make_mails(NORMAL, [0] * normal) + make_mails(LOW, [0] * low), seed).run()
    passed = sum(is_normal_one_waiting(done, mail.moment or 0) for mail in done.list_sent(LOW))
    span = (done.list_sent(NORMAL)[-1].left or 0) - (done.list_sent(NORMAL)[0].left or 0)
    # One more than their share may pass: a low one may be overdue when the first normal one asks.
    assert passed <= 1 + span // (OVERDUE_BEFORE_NORMAL * rules.interval)


def is_normal_one_waiting(done: PacingSimulation, moment: int) -> bool:
    """Return whether a normal mail had asked for its turn well before a moment, and left after it.

    What waits in the queue is not counted: a worker that sends for 60 ms may miss a moment, which low ones then take.
    """
    return any((mail.asked or 0) + ASKING <= moment < (mail.moment or 0) for mail in done.list_sent(NORMAL))


@pytest.mark.parametrize("burst", [1, DEPLOYED_BURST])
@pytest.mark.parametrize("rate", [1.0, 14.0])
def test_a_share_is_kept_for_each_class_while_high_mails_never_pause(rate: float, burst: int) -> None:
    """Normal mails get one of ten moments, low ones one of twenty, evenly; the rest are for high ones."""
    count = 400
    constant = make_mails(HIGH, [0] * count) + make_mails(NORMAL, [0] * 100) + make_mails(LOW, [0] * 100)
    limit = round(300 / rate * SECOND)
    done = PacingSimulation(PacingRules.from_rate(rate, burst), constant, limit=limit).run()
    high, normal, low = (len(done.list_sent(priority)) for priority in Priority)
    total = high + normal + low
    assert total >= 285
    assert 0.08 <= normal / total <= 0.11
    assert 0.04 <= low / total <= 0.06
    for priority in (NORMAL, LOW):
        moments = [mail.moment or 0 for mail in done.list_sent(priority)]
        longest = max(later - earlier for earlier, later in pairwise(moments))
        assert longest <= (OVERDUE[priority] * 3 // 2 + 8) * round(SECOND / rate)
    record("pace_shares", rate=rate, high=high, normal=normal, low=low)


@pytest.mark.parametrize("burst", [1, DEPLOYED_BURST])
@pytest.mark.parametrize("priority", Priority)
@pytest.mark.parametrize("rate", [0.5, 1.0, 5.0, 14.0])
def test_no_moment_is_left_unused_while_mails_wait(rate: float, priority: Priority, burst: int) -> None:
    """A flood of one class leaves at 97 of 100 of the rate at least, from its first mail to its last."""
    done = PacingSimulation(PacingRules.from_rate(rate, burst), make_mails(priority, [0] * 300)).run()
    moments = done.moments
    assert len(moments) == 300
    assert (moments[-1] - moments[0]) * 0.97 <= 299 / rate * SECOND


@pytest.mark.parametrize("burst", [1, DEPLOYED_BURST])
def test_a_mixed_flood_leaves_no_moment_unused_either(burst: int) -> None:
    """All three classes at once and at random, fourteen a second."""
    mixed = [make_mails(priority, make_random_arrivals(300, 8.0, seed=priority)) for priority in Priority]
    moments = (
        PacingSimulation(PacingRules.from_rate(14.0, burst), [*mixed[HIGH], *mixed[NORMAL], *mixed[LOW]]).run().moments
    )
    assert (moments[-1] - moments[0]) * 0.95 <= 900 / 14 * SECOND


@pytest.mark.parametrize("rate", [1, 14, 1000])
@pytest.mark.parametrize("load", [0.02, 0.1, 0.3, 0.5, 0.8])
def test_high_mails_take_at_most_twice_as_long_behind_a_flood(rate: int, load: float) -> None:
    """The 95th percentile from the commit to the moment; high mails come at random, at a share `load` of the rate.

    At 1,000 a second it is the ten workers that bound them, so they come at 60 a second at most. Decision 15 describes
    the loads near 0.6 of a rate of one, at which a burst of four is just enough alone.
    """
    rules = PacingRules.from_rate(rate, DEPLOYED_BURST)
    high = make_random_arrivals(400, min(load * rate, 60.0), seed=7)
    flood = make_mails(LOW, [0] * (1000 + min(high[-1] * rate // SECOND, 20_000)))
    alone = PacingSimulation(rules, make_mails(HIGH, high)).run()
    behind = PacingSimulation(rules, make_mails(HIGH, high) + flood, limit=high[-1] + 60 * SECOND).run()
    assert len(behind.list_sent(HIGH)) == len(high)
    last = behind.list_sent(HIGH)[-1].left or 0
    assert any(mail.left is None or mail.left > last for mail in flood), "the flood was drained"
    quiet = compute_percentile([mail.waited for mail in alone.list_sent(HIGH)], 0.95)
    busy = compute_percentile([mail.waited for mail in behind.list_sent(HIGH)], 0.95)
    # the moment of a mail, and of the one after its burst
    moments = behind.moments
    closest = min(later - earlier for earlier, later in zip(moments, moments[DEPLOYED_BURST:], strict=False))
    record(
        "pace_priorities",
        rate=rate,
        load=load,
        alone_ms=round(quiet / MS),
        behind_ms=round(busy / MS),
        ratio=round(busy / quiet, 2),
        closest_s=closest / SECOND,
    )
    assert busy <= 2 * quiet
    assert closest * rate >= SECOND


def test_the_measurement_notices_a_single_queue_for_all() -> None:
    """Were the flood of the same class as the mails that are measured, their 95th percentile would show it."""
    high = make_random_arrivals(40, 0.3, seed=7)
    alone = PacingSimulation(PacingRules.from_rate(1, 1), make_mails(HIGH, high)).run()
    single = PacingSimulation(
        PacingRules.from_rate(1, 1), [*make_mails(HIGH, high), *make_mails(HIGH, [0] * 300)]
    ).run()
    measured = [mail.waited for mail in single.mails[: len(high)]]
    assert compute_percentile(measured, 0.95) > 2 * compute_percentile(
        [mail.waited for mail in alone.list_sent(HIGH)], 0.95
    )


def test_a_lone_high_mail_waits_for_one_interval_at_most_and_not_at_all_with_a_burst() -> None:
    """At one a second and a burst of one no mail can follow at once; a larger burst keeps some for high ones."""
    high = [n * 30 * SECOND + n * 37 * MS for n in range(1, 101)]
    waits = {}
    for burst in (1, 2, DEPLOYED_BURST):
        flood = make_mails(LOW, [0] * 4000)
        done = PacingSimulation(
            PacingRules.from_rate(1, burst), make_mails(HIGH, high) + flood, limit=high[-1] + 30 * SECOND
        ).run()
        waits[burst] = compute_percentile([mail.waited for mail in done.list_sent(HIGH)], 0.95)
    assert SECOND // 2 < waits[1] <= SECOND * 5 // 4 + WAY
    assert waits[2] <= WAY
    assert waits[DEPLOYED_BURST] <= WAY
    record("pace_lone_high_mail", burst_1_ms=round(waits[1] / MS), as_deployed_ms=round(waits[DEPLOYED_BURST] / MS))


def test_only_high_mails_use_the_whole_burst() -> None:
    """After a pause four high mails leave at once, or three normal ones, or one low one."""
    rules = PacingRules.from_rate(1, 4)
    at_once: dict[Priority, int] = {}
    for priority in Priority:
        state, now = PacingState(), 1_000_000 * SECOND
        while isinstance(decision := decide(rules, state, priority, now, 0), SendSlot) and decision.moment == now:
            state = decision.state
            at_once[priority] = at_once.get(priority, 0) + 1
    assert at_once == {HIGH: 4, NORMAL: 3, LOW: 1}


def test_a_low_mail_gives_way_to_a_high_one_that_comes_while_it_sleeps() -> None:
    """A low mail has no right to a moment until it is there."""
    rules, start = PacingRules.from_rate(1, 1), 100 * SECOND
    first = decide(rules, PacingState(), LOW, start, 29 * SECOND)
    assert isinstance(first, SendSlot)
    later = start + 200 * MS
    low = decide(rules, first.state, LOW, later, 29 * SECOND)
    assert not isinstance(low, SendSlot)
    high = decide(rules, low.state, HIGH, later + 1, 29 * SECOND)
    assert isinstance(high, SendSlot)
    assert high.moment == start + SECOND
    again = decide(rules, high.state, LOW, start + SECOND, 29 * SECOND)
    assert not isinstance(again, SendSlot)


def test_jobs_handed_back_get_moments_of_their_own_and_none_beyond_ten_minutes() -> None:
    """They don't all come back for the same moment; a wake-up can be delayed by 15 minutes at most."""
    rules, now = PacingRules.from_rate(1, 1), 100 * SECOND
    state = decide(rules, PacingState(), LOW, now, 0).state
    back = []
    for _ in range(700):
        decision = decide(rules, state, LOW, now, 0)
        assert isinstance(decision, ReturnToQueue)
        state = decision.state
        back.append((decision.until - now) // SECOND)
    assert back[:600] == list(range(1, 601))
    assert max(back) == 600
