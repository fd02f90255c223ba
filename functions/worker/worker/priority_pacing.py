"""Pacing of calls by priority, for a service that limits the calls per second of all environments together.

One state is shared by all environments: the theoretical arrival time (TAT) of a GCRA bucket, see gcra.py. `decide` is
pure: from the state, a priority and the time it computes when the call may be made, or when to ask again. `take_slot`
is the session with the store that carries out decisions; `run_slot_session` and tests drive it.

1. A high call reserves the next free moment, up to `PacingRules.horizon` ahead, and its worker sleeps until then. Later
   calls get later moments.
2. Normal and low calls reserve nothing: they pass if a moment is free (or will be within `PacingRules.lead`, the time
   that waking up and writing take), but not a moment reserved by a high call. Otherwise they sleep until the next one.
3. A sleeping normal call announces until when it sleeps: low calls leave that moment to it.
4. Both keep a share: a class that has had no call for a number of intervals (OVERDUE) may reserve like a high call.
5. With a burst of two or more, the last call of the burst is kept for high ones: they can follow a low one at once.

All times are integer microseconds since the epoch.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Protocol, Self

from shared.units import SECOND
from worker.retry_later import RetryLater


class Priority(IntEnum):
    """The classes, most urgent first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


# Intervals without a call after which a class may reserve like a high call: while there are always high calls, normal
# ones get one of ten moments and low ones one of twenty.
OVERDUE = {Priority.NORMAL: 10, Priority.LOW: 20}
# Intervals without a call after which a low call no longer leaves a free moment to normal ones.
OVERDUE_BEFORE_NORMAL = 10

# A high call beyond the horizon returns to its queue. Queues delay by whole seconds, so with a horizon below the first
# value low calls would take the moments meanwhile. With one beyond the second, or beyond this number of calls ahead,
# most of the high queue's ten workers would sleep, although that queue also has jobs that need no slot.
SHORTEST_HORIZON = 3 * SECOND // 2
LONGEST_HORIZON = 5 * SECOND
RESERVED_AHEAD = 6

# From waking up to the end of the write to the table. At most a quarter of the interval, so that a high call that has
# just missed a moment waits for at most one interval and a quarter.
LONGEST_LEAD = SECOND // 50

# How long after its moment a sleeping normal call still holds back low ones: its worker may be slow, or dead.
NORMAL_GRACE = SECOND // 4

# The longest queue of returned calls: SQS delays a message by at most 15 minutes.
LONGEST_QUEUE = 600 * SECOND

# Each failed write means that another call was decided at the same moment; there are 16 workers.
MOST_LOST_WRITES = 50
CONTENDED_DELAY_S = 1.0


@dataclass(frozen=True, slots=True)
class PacingRules:
    """The rate at which calls may be made: one per `interval`, and `burst` at once after a pause."""

    interval: int
    burst: int

    @classmethod
    def from_rate(cls, rate: float, burst: int) -> Self:
        """Return the rules for `rate` calls per second. The interval is rounded up, so the rate is never exceeded."""
        return cls(-int(-SECOND // rate), burst)

    @property
    def horizon(self) -> int:
        """Return how far ahead a high call may reserve."""
        return min(LONGEST_HORIZON, max(SHORTEST_HORIZON, RESERVED_AHEAD * self.interval))

    @property
    def lead(self) -> int:
        """Return how far ahead any other call may reserve."""
        return min(LONGEST_LEAD, self.interval // 4)

    def find_free_moment(self, tat: int, priority: Priority) -> int:
        """Return the first moment at which a bucket with `tat` admits another call of a priority."""
        burst = {Priority.HIGH: self.burst, Priority.NORMAL: max(self.burst - 1, 1), Priority.LOW: 1}[priority]
        return tat - (burst - 1) * self.interval


@dataclass(frozen=True, slots=True)
class PacingState:
    """The state that all environments share. `version` grows with each write.

    `served` holds the last moment of each class, `queue_end` the moment after the last one that was given to calls of a
    class that could not wait, and `normal_until` is the time until which a normal call sleeps.
    """

    version: int = 0
    tat: int = 0
    served: tuple[int, int, int] = (0, 0, 0)
    queue_end: tuple[int, int, int] = (0, 0, 0)
    normal_until: int = 0


@dataclass(frozen=True, slots=True)
class SendSlot:
    """The call may be made at `moment`, once `state` is written."""

    moment: int
    state: PacingState


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Sleep, and ask again at `until`."""

    until: int
    state: PacingState


@dataclass(frozen=True, slots=True)
class ReturnToQueue:
    """Return the job to its queue; `until` is its own moment to ask again."""

    until: int
    state: PacingState


PacingDecision = SendSlot | WaitUntil | ReturnToQueue


def decide(rules: PacingRules, state: PacingState, priority: Priority, now: int, patience: int) -> PacingDecision:
    """Decide about a call made at `now` by a worker that can sleep for `patience`."""
    horizon, lead = min(rules.horizon, patience), min(rules.lead, patience)
    reserved = max(now, rules.find_free_moment(state.tat, Priority.HIGH))
    if _can_reserve(rules, state, priority, reserved) and reserved - now <= horizon:
        return SendSlot(reserved, _record_served(rules, state, priority, reserved))
    if priority is Priority.HIGH:
        return _return_to_queue(rules, state, priority, now, reserved - horizon)
    free = max(now, rules.find_free_moment(state.tat, priority))
    if free - now <= lead and not _is_yielding_to_normal(rules, state, priority, now):
        return SendSlot(free, _record_served(rules, state, priority, free))
    again = free - lead if free - lead > now else now + max(rules.interval // 4, 1)
    # Assuming that as much is reserved then as now; a worker that wakes up too early asks again.
    overdue = _find_overdue_moment(rules, state, priority) - (reserved - now)
    return _make_wait(rules, state, priority, now, min(again, max(overdue, reserved - horizon, now + 1)), patience)


def _can_reserve(rules: PacingRules, state: PacingState, priority: Priority, moment: int) -> bool:
    return priority is Priority.HIGH or moment >= _find_overdue_moment(rules, state, priority)


def _find_overdue_moment(rules: PacingRules, state: PacingState, priority: Priority) -> int:
    return state.served[priority] + OVERDUE[priority] * rules.interval


def _is_yielding_to_normal(rules: PacingRules, state: PacingState, priority: Priority, now: int) -> bool:
    is_overdue = now >= state.served[priority] + OVERDUE_BEFORE_NORMAL * rules.interval
    return priority is Priority.LOW and now < state.normal_until and not is_overdue


def _record_served(rules: PacingRules, state: PacingState, priority: Priority, moment: int) -> PacingState:
    return replace(
        state,
        version=state.version + 1,
        tat=max(state.tat, moment) + rules.interval,
        served=_replace_value(state.served, priority, moment),
        # Other sleeping normal calls wake up before the next moment and announce it again.
        normal_until=0 if priority is Priority.NORMAL else state.normal_until,
    )


def _make_wait(
    rules: PacingRules, state: PacingState, priority: Priority, now: int, again: int, patience: int
) -> PacingDecision:
    if again - now > patience:
        return _return_to_queue(rules, state, priority, now, again)
    if priority is Priority.NORMAL and again + NORMAL_GRACE > state.normal_until:
        state = replace(state, version=state.version + 1, normal_until=again + NORMAL_GRACE)
    return WaitUntil(again, state)


def _return_to_queue(rules: PacingRules, state: PacingState, priority: Priority, now: int, again: int) -> ReturnToQueue:
    until = max(state.queue_end[priority], again, now + 1)
    if until - now > LONGEST_QUEUE:
        return ReturnToQueue(max(again, now + LONGEST_QUEUE), state)
    queue_end = _replace_value(state.queue_end, priority, until + rules.interval)
    return ReturnToQueue(until, replace(state, version=state.version + 1, queue_end=queue_end))


def _replace_value(values: tuple[int, int, int], priority: Priority, value: int) -> tuple[int, int, int]:
    high, normal, low = (value if each is priority else values[each] for each in Priority)
    return high, normal, low


@dataclass(frozen=True, slots=True)
class ReadState:
    """Read the state."""


@dataclass(frozen=True, slots=True)
class SleepUntil:
    """Sleep until a moment; the reply is the state that was given, whatever it is by then."""

    until: int
    state: PacingState


@dataclass(frozen=True, slots=True)
class WriteState:
    """Write `to` if the state is still `seen`."""

    seen: PacingState
    to: PacingState


@dataclass(frozen=True, slots=True)
class StoreReply:
    """A reply of the store: the current state, and whether the write was made."""

    state: PacingState
    written: bool


class PacingStore(Protocol):
    """The store of the shared state. Both methods raise StoreUnavailable."""

    def read(self) -> PacingState:
        """Return the state; PacingState() if it was never written."""
        ...

    def write(self, seen: PacingState, to: PacingState) -> StoreReply:
        """Replace the state by `to`, unless it is no longer `seen`."""
        ...


SlotRequest = ReadState | WriteState | SleepUntil
SlotSession = Generator[SlotRequest, StoreReply, SendSlot]


def take_slot(
    rules: PacingRules, priority: Priority, clock: Callable[[], int], until: int, seen: PacingState | None = None
) -> SlotSession:
    """Return the slot, once it is written; raise RetryLater if the job has to return to the queue.

    `until` is when a sleeping worker has to be done with sleeping. `seen` is the state that it saw last: a TAT never
    decreases, so waiting by an old one is never too long, and a write based on an old one is rejected with the new one.
    """
    state, lost, is_old = seen or (yield ReadState()).state, 0, False
    while lost < MOST_LOST_WRITES:
        now = clock()
        decision = decide(rules, state, priority, now, max(until - now, 0))
        if is_old and isinstance(decision, WaitUntil):
            state, is_old = (yield ReadState()).state, False
        elif decision.state != state and not (stored := (yield WriteState(state, decision.state))).written:
            state, lost, is_old = stored.state, lost + 1, False
        elif isinstance(decision, SendSlot):
            return decision
        elif isinstance(decision, ReturnToQueue):
            raise RetryLater("mail-rate", (decision.until - now) / SECOND)
        else:
            state, lost, is_old = (yield SleepUntil(decision.until, decision.state)).state, 0, True
    raise RetryLater("mail-rate", CONTENDED_DELAY_S)


def run_slot_session(
    session: SlotSession, store: PacingStore, clock: Callable[[], int], sleep: Callable[[float], None]
) -> PacingState:
    """Run a session, and return the state when the call may be made.

    Raise RetryLater or StoreUnavailable.
    """
    try:
        request = next(session)
        while True:
            request = session.send(_answer_request(request, store, clock, sleep))
    except StopIteration as end:
        slot: SendSlot = end.value
        sleep_until(slot.moment, clock, sleep)
        return slot.state


def _answer_request(
    request: SlotRequest, store: PacingStore, clock: Callable[[], int], sleep: Callable[[float], None]
) -> StoreReply:
    if isinstance(request, WriteState):
        return store.write(request.seen, request.to)
    if isinstance(request, SleepUntil):
        sleep_until(request.until, clock, sleep)
        return StoreReply(request.state, written=False)
    return StoreReply(store.read(), written=False)


def sleep_until(moment: int, clock: Callable[[], int], sleep: Callable[[float], None]) -> None:
    """Return at `moment` or later, never earlier."""
    while (left := moment - clock()) > 0:
        sleep(left / SECOND)
