"""The rate limiter of mails: how long it may sleep, and that mails leave while its table is gone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.deadline import Deadline
from shared.units import SECOND
from tests.breakers import START, ManualTime
from tests.fakes.pacing import InMemoryPacingStore
from worker import mail_pacing
from worker.mail_pacing import MailRateLimiter
from worker.priority_pacing import PacingRules, PacingState
from worker.retry_later import RetryLater

ONE_A_SECOND = PacingRules.from_rate(1.0, 1)


@dataclass
class CountingStore(InMemoryPacingStore):
    """A store that counts how often it is read."""

    reads: int = 0

    def read(self) -> PacingState:
        """See PacingStore.read."""
        self.reads += 1
        return super().read()


@dataclass
class LimitedSender:
    """A worker that sends mails at the limiter's pace; its sleep takes the time's own."""

    store: CountingStore = field(default_factory=CountingStore)
    time: ManualTime = field(default_factory=ManualTime)

    def __post_init__(self) -> None:
        self.limiter = MailRateLimiter(self.store, ONE_A_SECOND, self.time, sleep=self.time.advance)

    def wait(self, priority: str = "high", *, left_s: float = 60.0) -> float:
        """Wait for a slot with `left_s` left; return at how many seconds it came."""
        self.limiter.wait_for_slot(priority, Deadline(left_s, lambda: 0.0))
        return (self.time() - START) / SECOND


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the events that the limiter reports."""
    reported: list[tuple[str, Mapping[str, Any]]] = []
    monkeypatch.setattr(mail_pacing, "observe", lambda event, facts: reported.append((event, facts)))
    return reported


def test_mails_leave_an_interval_apart() -> None:
    """The first at once; the state of the last one is remembered, so that the next begins with a write."""
    sender = LimitedSender()
    assert [sender.wait() for _ in range(3)] == [0.0, 1.0, 2.0]
    assert sender.store.reads == 1


@pytest.mark.parametrize(("left_s", "is_slept"), [(31.0, True), (30.999, False), (10.0, False)])
def test_a_worker_sleeps_until_thirty_seconds_are_left(left_s: float, is_slept: bool) -> None:
    """Then it has time for the mail that it has slept for, and to return the rest of its batch."""
    sender = LimitedSender()
    sender.wait()
    if is_slept:
        assert sender.wait(left_s=left_s) == 1.0
        return
    with pytest.raises(RetryLater) as later:
        sender.wait(left_s=left_s)
    assert later.value.code == "mail-rate"


def test_a_priority_is_known_by_its_name() -> None:
    """Of four high mails and as many low ones at once, the high ones need no more than their own turns."""
    sender = LimitedSender()
    sender.wait("low")
    assert sender.store.state.served[2] == START
    with pytest.raises(RetryLater):
        sender.wait("low", left_s=0.0)
    assert sender.store.state.queue_end[2] > START


def test_without_its_table_every_mail_leaves_and_one_in_five_seconds_asks_for_it(
    events: list[tuple[str, Mapping[str, Any]]],
) -> None:
    """SES does the throttling meanwhile; an operator is told."""
    sender = LimitedSender()
    sender.store.reachable = False
    assert [sender.wait() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert sender.store.reads == 1
    assert events == [("mail_pacing_unavailable", {"error": "Unreachable"})]
    sender.time.advance(4.999_999)
    sender.wait()
    assert sender.store.reads == 1
    sender.time.advance(0.000_001)
    sender.wait()
    assert sender.store.reads == 2
    sender.store.reachable = True
    sender.time.advance(5.0)
    first = sender.wait()
    assert sender.wait() == first + 1.0
