"""Single decisions of the mail pace, to the microsecond, and the session that writes them to the shared state."""

from dataclasses import replace

import pytest

from shared.units import SECOND
from tests.breakers import ManualTime
from tests.fakes.pacing import InMemoryPacingStore
from worker.priority_pacing import (
    CONTENDED_DELAY_S,
    LONGEST_QUEUE,
    MOST_LOST_WRITES,
    NORMAL_GRACE,
    PacingRules,
    PacingState,
    Priority,
    ReadState,
    ReturnToQueue,
    SendSlot,
    SleepUntil,
    StoreReply,
    WaitUntil,
    WriteState,
    decide,
    run_slot_session,
    sleep_until,
    take_slot,
)
from worker.retry_later import RetryLater

HIGH, NORMAL, LOW = Priority
MS = SECOND // 1000
NOW = 1_000 * SECOND
RULES = PacingRules.from_rate(1.0, 1)  # an interval of 1 s, a horizon of 5 s, a lead of 20 ms
LONG = 30 * SECOND
# Each class was served a second ago, so that none is overdue: normal mails are in 9 s, low ones in 19 s.
BUSY = PacingState(version=3, tat=NOW, served=(NOW - SECOND,) * 3)


@pytest.mark.parametrize(
    ("rate", "interval", "horizon", "lead"),
    [
        (1.0, SECOND, 5 * SECOND, 20 * MS),
        (2.0, SECOND // 2, 3 * SECOND, 20 * MS),
        (3.0, 333_334, 2_000_004, 20 * MS),
        (14.0, 71_429, 1500 * MS, 17_857),
        (0.1, 10 * SECOND, 5 * SECOND, 20 * MS),
    ],
)
def test_the_rules_follow_from_the_rate(rate: float, interval: int, horizon: int, lead: int) -> None:
    """The interval is rounded up; the horizon is six of them, within its bounds; the lead is at most a quarter."""
    rules = PacingRules.from_rate(rate, 3)
    assert (rules.interval, rules.burst, rules.horizon, rules.lead) == (interval, 3, horizon, lead)


@pytest.mark.parametrize(("burst", "high", "normal", "low"), [(1, 0, 0, 0), (2, -1, 0, 0), (4, -3, -2, 0)])
def test_only_high_mails_have_the_whole_burst(burst: int, high: int, normal: int, low: int) -> None:
    """Normal ones have one less, and low ones none."""
    rules = PacingRules.from_rate(1.0, burst)
    found = [rules.find_free_moment(NOW, priority) for priority in Priority]
    assert found == [NOW + intervals * SECOND for intervals in (high, normal, low)]


@pytest.mark.parametrize(("priority", "normal_until"), [(HIGH, NOW + 7), (NORMAL, 0), (LOW, NOW + 7)])
def test_a_slot_is_written_with_its_class_and_its_moment(priority: Priority, normal_until: int) -> None:
    """A normal mail that is sent no longer holds back low ones."""
    state = PacingState(version=3, tat=NOW - 5, served=(1, 2, 3), queue_end=(4, 5, 6), normal_until=NOW + 7)
    served = {HIGH: (NOW, 2, 3), NORMAL: (1, NOW, 3), LOW: (1, 2, NOW)}[priority]
    assert decide(RULES, state, priority, NOW, LONG) == SendSlot(
        NOW, PacingState(4, NOW + SECOND, served, (4, 5, 6), normal_until)
    )


@pytest.mark.parametrize(("patience", "horizon"), [(LONG, 5 * SECOND), (2 * SECOND, 2 * SECOND), (0, 0)])
def test_a_high_mail_reserves_up_to_its_horizon_and_its_patience(patience: int, horizon: int) -> None:
    """A microsecond further, and it returns to its queue, with a moment of its own to ask again."""
    near, far = replace(BUSY, tat=NOW + horizon), replace(BUSY, tat=NOW + horizon + 1)
    slot = decide(RULES, near, HIGH, NOW, patience)
    assert isinstance(slot, SendSlot)
    assert (slot.moment, slot.state.tat) == (NOW + horizon, NOW + horizon + SECOND)
    queue_end = (NOW + 1 + SECOND, 0, 0)
    assert decide(RULES, far, HIGH, NOW, patience) == ReturnToQueue(
        NOW + 1, replace(far, version=4, queue_end=queue_end)
    )


@pytest.mark.parametrize(("patience", "lead"), [(LONG, 20 * MS), (5 * MS, 5 * MS)])
def test_other_mails_reserve_only_a_little_ahead(patience: int, lead: int) -> None:
    """They look as far ahead as a worker needs to wake up; a microsecond further, and it sleeps until then."""
    for priority in (NORMAL, LOW):
        slot = decide(RULES, replace(BUSY, tat=NOW + lead), priority, NOW, patience)
        assert isinstance(slot, SendSlot)
        assert slot.moment == NOW + lead
        wait = decide(RULES, replace(BUSY, tat=NOW + lead + 1), priority, NOW, patience)
        assert isinstance(wait, WaitUntil)
        assert wait.until == NOW + 1


@pytest.mark.parametrize(
    ("priority", "served", "tat", "until"),
    [
        (NORMAL, -1, 3, NOW + 2980 * MS),  # a lead before the free moment
        (NORMAL, -6, 3, NOW + SECOND),  # when it is overdue, if as much is reserved then as now
        (NORMAL, -5, 20, NOW + 15 * SECOND),  # overdue, but the moment is beyond the horizon until then
        (LOW, -1, 3, NOW + 2980 * MS),
        (LOW, -16, 3, NOW + SECOND),
    ],
)
def test_a_mail_sleeps_until_something_can_have_changed(priority: Priority, served: int, tat: int, until: int) -> None:
    """It sleeps no longer than that."""
    state = replace(BUSY, served=(NOW + served * SECOND,) * 3, tat=NOW + tat * SECOND)
    wait = decide(RULES, state, priority, NOW, LONG)
    assert isinstance(wait, WaitUntil)
    assert wait.until == until


@pytest.mark.parametrize(("priority", "after"), [(NORMAL, 10), (LOW, 20)])
def test_an_overdue_mail_reserves_like_a_high_one(priority: Priority, after: int) -> None:
    """After ten or twenty intervals, by the moment that it gets."""
    moment = NOW + 3 * SECOND
    for too_soon in (0, 1):
        state = replace(BUSY, served=(moment - after * SECOND + too_soon,) * 3, tat=moment)
        decision = decide(RULES, state, priority, NOW, LONG)
        assert isinstance(decision, WaitUntil if too_soon else SendSlot)
        if isinstance(decision, SendSlot):
            assert decision.moment == moment


def test_a_normal_mail_that_sleeps_announces_itself() -> None:
    """Until it wakes up and a little longer; what another announced for later stays."""
    state = replace(BUSY, tat=NOW + 3 * SECOND)
    end = NOW + 2980 * MS + NORMAL_GRACE
    for announced in (0, end - 1):
        wait = decide(RULES, replace(state, normal_until=announced), NORMAL, NOW, LONG)
        assert wait == WaitUntil(NOW + 2980 * MS, replace(state, version=4, normal_until=end))
    for announced in (end, end + 1):
        later = replace(state, normal_until=announced)
        assert decide(RULES, later, NORMAL, NOW, LONG) == WaitUntil(NOW + 2980 * MS, later)


def test_a_low_mail_leaves_a_free_moment_to_a_normal_one_that_sleeps() -> None:
    """It asks again after a quarter of an interval, and announces nothing."""
    state = replace(BUSY, normal_until=NOW + 1)
    assert decide(RULES, state, LOW, NOW, LONG) == WaitUntil(NOW + 250 * MS, state)
    fast = PacingRules(interval=3, burst=1)
    quick = replace(state, served=(NOW - 1,) * 3)
    assert decide(fast, quick, LOW, NOW, LONG) == WaitUntil(NOW + 1, quick), "never at the same moment"
    assert isinstance(decide(RULES, replace(state, normal_until=NOW), LOW, NOW, LONG), SendSlot)
    assert isinstance(decide(RULES, state, NORMAL, NOW, LONG), SendSlot)


@pytest.mark.parametrize(("served", "is_sent"), [(NOW - 10 * SECOND, True), (NOW - 10 * SECOND + 1, False)])
def test_a_low_mail_that_has_waited_for_ten_intervals_takes_it(served: int, is_sent: bool) -> None:
    """Otherwise normal mails could hold low ones back for ever."""
    state = replace(BUSY, served=(0, 0, served), normal_until=NOW + SECOND)
    assert isinstance(decide(RULES, state, LOW, NOW, LONG), SendSlot) == is_sent


@pytest.mark.parametrize("priority", [NORMAL, LOW])
def test_a_mail_that_can_not_sleep_so_long_returns_to_its_queue(priority: Priority) -> None:
    """Its moment there is a place in the queue of its class."""
    state = replace(BUSY, tat=NOW + 3 * SECOND)
    sleep = 2980 * MS
    assert isinstance(decide(RULES, state, priority, NOW, sleep), WaitUntil)
    returned = decide(RULES, state, priority, NOW, sleep - 1)
    after = NOW + sleep + SECOND
    queue_end = {NORMAL: (0, after, 0), LOW: (0, 0, after)}[priority]
    assert returned == ReturnToQueue(NOW + sleep, replace(state, version=4, queue_end=queue_end))


@pytest.mark.parametrize("priority", Priority)
def test_mails_that_return_are_given_moments_one_after_another(priority: Priority) -> None:
    """After the last of their class, up to ten minutes ahead."""
    state = replace(BUSY, tat=NOW + 20 * SECOND)
    last = NOW + LONGEST_QUEUE
    full = replace(state, queue_end=(last,) * 3)
    returned = decide(RULES, full, priority, NOW, 0)
    assert isinstance(returned, ReturnToQueue)
    assert (returned.until, returned.state.queue_end[priority]) == (last, last + SECOND)
    assert returned.state.version == 4
    over = replace(state, queue_end=(last + 1,) * 3)
    assert decide(RULES, over, priority, NOW, 0) == ReturnToQueue(last, over)


def test_a_mail_whose_own_moment_is_further_away_than_the_longest_queue_keeps_it() -> None:
    """It is not sent back for nothing."""
    far = replace(BUSY, tat=NOW + LONGEST_QUEUE + 9 * SECOND, queue_end=(NOW + 2 * LONGEST_QUEUE,) * 3)
    assert decide(RULES, far, HIGH, NOW, 0) == ReturnToQueue(NOW + LONGEST_QUEUE + 9 * SECOND, far)


# ---- the session with the store --------------------------------------------------------------------------------------
def test_a_session_reads_writes_and_returns_the_slot() -> None:
    """With a state that it saw before, it begins with the write."""
    slot = decide(RULES, BUSY, HIGH, NOW, LONG)
    assert isinstance(slot, SendSlot)
    for seen in (None, BUSY):
        session = take_slot(RULES, HIGH, lambda: NOW, NOW + LONG, seen)
        request = next(session)
        if seen is None:
            assert request == ReadState()
            request = session.send(StoreReply(BUSY, written=False))
        assert request == WriteState(BUSY, slot.state)
        with pytest.raises(StopIteration) as ended:
            session.send(StoreReply(slot.state, written=True))
        assert ended.value.value == slot


def test_a_write_that_is_lost_is_decided_anew_on_what_is_there() -> None:
    """Another worker has taken the moment."""
    session = take_slot(RULES, HIGH, lambda: NOW, NOW + LONG, BUSY)
    next(session)
    taken = replace(BUSY, version=9, tat=NOW + SECOND)
    again = session.send(StoreReply(taken, written=False))
    assert isinstance(again, WriteState)
    assert (again.seen, again.to.served[HIGH]) == (taken, NOW + SECOND)


def test_a_worker_sleeps_by_the_state_that_it_wrote_and_looks_again_before_it_sleeps_on() -> None:
    """The state that it knows is old by then; nothing is written that would not change the state."""
    time = ManualTime(NOW)
    busy = replace(BUSY, tat=NOW + 3 * SECOND)
    session = take_slot(RULES, LOW, time, NOW + LONG, busy)
    assert next(session) == SleepUntil(NOW + 2980 * MS, busy)
    time.micros = NOW + 2980 * MS - 1
    assert session.send(StoreReply(busy, written=False)) == ReadState()
    later = replace(busy, version=7, tat=NOW + 4 * SECOND)
    assert session.send(StoreReply(later, written=False)) == SleepUntil(NOW + 3980 * MS, later)
    time.micros = NOW + 3980 * MS
    request = session.send(StoreReply(later, written=False))
    assert isinstance(request, WriteState), "a slot needs no look: the write is refused if what it knows is old"


def test_a_worker_that_may_not_sleep_any_more_returns_its_job() -> None:
    """It says in how many seconds its moment comes."""
    session = take_slot(RULES, HIGH, lambda: NOW, NOW - 5, replace(BUSY, tat=NOW + 9 * SECOND))
    request = next(session)
    assert isinstance(request, WriteState)
    with pytest.raises(RetryLater, match=r"^mail-rate$") as later:
        session.send(StoreReply(request.to, written=True))
    assert (later.value.code, later.value.delay_s) == ("mail-rate", 9.0)


def test_a_worker_whose_writes_are_always_lost_returns_its_job() -> None:
    """After fifty, for a second; a sleep in between begins the count anew."""
    session = take_slot(RULES, HIGH, lambda: NOW, NOW + LONG, BUSY)
    request = next(session)
    for _ in range(MOST_LOST_WRITES - 1):
        assert isinstance(request, WriteState)
        request = session.send(StoreReply(BUSY, written=False))
    with pytest.raises(RetryLater) as later:
        session.send(StoreReply(BUSY, written=False))
    assert (later.value.code, later.value.delay_s) == ("mail-rate", CONTENDED_DELAY_S)


def test_losses_before_a_sleep_are_forgotten() -> None:
    """Other workers write at other moments by then."""
    time = ManualTime(NOW)
    busy = replace(BUSY, tat=NOW + 3 * SECOND)
    session = take_slot(RULES, NORMAL, time, NOW + LONG, busy)
    request = next(session)
    for _ in range(MOST_LOST_WRITES - 1):
        request = session.send(StoreReply(busy, written=False))
    assert isinstance(request, WriteState)
    assert isinstance(session.send(StoreReply(request.to, written=True)), SleepUntil)
    time.micros = NOW + 2980 * MS
    request = session.send(StoreReply(busy, written=False))
    for _ in range(MOST_LOST_WRITES - 1):
        request = session.send(StoreReply(busy, written=False))
    assert isinstance(request, WriteState)


def test_a_session_is_run_on_its_store_and_ends_at_its_moment() -> None:
    """It returns the state for the next mail of this worker."""
    time, store = ManualTime(NOW), InMemoryPacingStore(replace(BUSY, tat=NOW + 3 * SECOND))
    state = run_slot_session(take_slot(RULES, LOW, time, NOW + LONG), store, time, time.advance)
    assert time.micros == NOW + 3 * SECOND
    assert state == store.state
    assert state.served[LOW] == NOW + 3 * SECOND


def test_a_sleep_ends_at_its_moment_or_later() -> None:
    """However early the operating system wakes the worker; a moment that has passed is not waited for."""
    time, slept = ManualTime(NOW), []

    def sleep_half(seconds: float) -> None:
        slept.append(seconds)
        time.advance(max(seconds / 2, 0.000_001))

    sleep_until(NOW + 4, time, sleep_half)
    assert time.micros >= NOW + 4
    assert slept[0] == 4 / SECOND
    slept.clear()
    sleep_until(time.micros, time, sleep_half)
    sleep_until(time.micros - 1, time, sleep_half)
    assert slept == []
