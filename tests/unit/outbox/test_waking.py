"""The wake-up of the relay for a call's jobs: beside their transaction, and again if the relay may have missed them."""

from collections.abc import Callable, Collection
from uuid import UUID, uuid4

import pytest

from relay.app import EARLY_LOOKS_S
from shared.outbox.waking import KEEP_DELAY_S, LATE_S, RelayWaking

JOB, ANOTHER = uuid4(), uuid4()


class WakingCall:
    """A call with its wake-ups: `sent` are the jobs that each named, `awaited` how many were waited for.

    `delays_s` are the seconds after which the relay gets each.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[set[UUID]] = []
        self.awaited = 0
        self.delays_s: list[float] = []
        self.waking = RelayWaking(self._wake, lambda: self.now)

    def _wake(self, jobs: Collection[UUID], *, delay_s: float = 0) -> Callable[[], object]:
        self.sent.append(set(jobs))
        self.delays_s.append(delay_s)
        return self._wait

    def _wait(self) -> None:
        self.awaited += 1


@pytest.fixture
def call() -> WakingCall:
    """Return a call that has not woken the relay."""
    return WakingCall()


def test_the_relay_is_woken_once_while_the_transaction_is_under_way(call: WakingCall) -> None:
    """The answer waits for it, so nothing is left running."""
    call.waking.begin({JOB})
    assert (call.sent, call.awaited, call.delays_s) == ([{JOB}], 0, [0])
    call.now = LATE_S
    call.waking.finish(is_due=True)
    assert (call.sent, call.awaited) == ([{JOB}], 1)


def test_a_commit_that_takes_long_is_followed_by_another_wake_up(call: WakingCall) -> None:
    """The relay may have looked for its job in vain."""
    call.waking.begin({JOB})
    call.now = LATE_S + 0.001
    call.waking.finish(is_due=True)
    assert (call.sent, call.awaited) == ([{JOB}, {JOB}], 2)


def test_jobs_of_a_second_attempt_are_woken_for_after_the_commit(call: WakingCall) -> None:
    """The first wake-up names those of the attempt that failed."""
    call.waking.begin({JOB})
    call.waking.begin({ANOTHER})
    assert call.sent == [{JOB}]
    call.waking.finish(is_due=True)
    assert (call.sent, call.awaited) == ([{JOB}, {ANOTHER}], 2)


def test_jobs_without_a_name_are_woken_for_after_the_commit(call: WakingCall) -> None:
    """A job that an admin replays has none, because it was there before."""
    call.waking.begin(set())
    assert call.sent == []
    call.waking.finish(is_due=True)
    assert (call.sent, call.awaited) == ([set()], 1)


def test_a_call_without_jobs_has_its_answer_kept_a_moment_after_its_commit(call: WakingCall) -> None:
    """Its wake-up is sent beside the transaction, like any other, and costs it no time."""
    call.waking.begin(set(), is_answer_kept=True)
    call.waking.finish(is_due=False)
    assert (call.sent, call.awaited, call.delays_s) == ([set()], 1, [KEEP_DELAY_S])


def test_the_relay_comes_for_an_answer_after_any_commit_that_is_not_late() -> None:
    """It would find nothing, and the answer would wait for the schedule."""
    assert KEEP_DELAY_S > LATE_S


def test_a_job_that_was_there_before_does_not_wait_for_the_wake_up_of_an_answer(call: WakingCall) -> None:
    """An admin replays it."""
    call.waking.begin(set(), is_answer_kept=True)
    call.waking.finish(is_due=True)
    assert (call.sent, call.delays_s) == ([set(), set()], [KEEP_DELAY_S, 0])


def test_a_refused_call_waits_for_its_wake_up_and_sends_no_other(call: WakingCall) -> None:
    """It does so even if the refusal took long."""
    call.waking.begin({JOB})
    call.now = 9.0
    call.waking.finish(is_due=False)
    assert (call.sent, call.awaited) == ([{JOB}], 1)


def test_a_call_without_jobs_wakes_nobody(call: WakingCall) -> None:
    """There is nothing to wait for."""
    call.waking.begin(set())
    call.waking.finish(is_due=False)
    assert (call.sent, call.awaited) == ([], 0)


def test_the_relay_looks_for_longer_than_a_commit_may_take_without_another_wake_up() -> None:
    """The wake-up reaches it after it was begun, so its last look is later than any commit that was in time."""
    assert sum(EARLY_LOOKS_S) >= LATE_S + 0.1
