"""Pacing of calls by priority, for a service that takes so many a second from the whole fleet.

One state is shared by all environments: the theoretical arrival time (TAT) of a GCRA bucket, see gcra.py. `decide` is
pure: from the state, a priority and the time it says when the call may be made, or when to ask again. `take_turn` is
the conversation with the store that carries decisions out; `hold_turn` and tests drive it.

1. A high call reserves the next free moment, up to `Rules.horizon` ahead, and its worker sleeps until then. Whoever
   asks later gets a later moment.
2. Normal and low calls reserve nothing: they are let through when a moment is free (or will be within `Rules.lead`, the
   time that waking up and writing take), and never while a high call has it reserved. They sleep until the next one.
3. A normal call that sleeps says until when: low ones leave the moment to it.
4. A share is kept for both: a class without a call for so many intervals (OVERDUE) may reserve as a high call does.
5. After a pause `Rules.burst` calls may be made at once. Only high calls use all of it; normal ones leave the last call
   to them, and a low call is made when nothing of it is used: a high one can then go right behind.

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


# Intervals without a call after which a class may reserve as if it were high: while high calls never pause, normal ones
# get one of ten moments and low ones one of twenty.
OVERDUE = {Priority.NORMAL: 10, Priority.LOW: 20}
# Intervals without a call after which a low one no longer leaves a free moment to normal ones.
OVERDUE_BEFORE_NORMAL = 10

# A high call beyond the horizon is handed back to its queue. Queues delay by whole seconds, so less than the first
# figure would let low calls take the moments meanwhile; more than the second, or than so many calls ahead, and most of
# the high queue's ten workers would sleep while it also holds jobs that need no turn.
SHORTEST_HORIZON = 3 * SECOND // 2
LONGEST_HORIZON = 5 * SECOND
RESERVED_AHEAD = 6

# From waking up to the end of the write to the table. At most a quarter of the interval, so that a high call that has
# just missed a moment waits for at most one interval and a quarter.
LONGEST_LEAD = SECOND // 50

# How long after its moment a sleeping normal call still keeps low ones away: its worker may be slow, or dead.
NORMAL_GRACE = SECOND // 4

# The queue of calls handed back gets no longer than this: SQS delays by 15 minutes at most.
LONGEST_QUEUE = 600 * SECOND

# Each lost write means that another call was decided in the same moment; there are 16 workers.
MOST_LOST_WRITES = 50
CONTENDED_DELAY_S = 1.0


@dataclass(frozen=True, slots=True)
class PacingRules:
    """The rate at which calls may be made: one each `interval`, and `burst` at once after a pause."""

    interval: int
    burst: int

    @classmethod
    def from_rate(cls, rate: float, burst: int) -> Self:
        """Return the rules for `rate` calls a second; the interval is rounded up, so it is never exceeded."""
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
        """Return the first moment at which a bucket with `tat` takes another call of a priority.

        High calls may use the whole burst, normal ones all of it but one call, low ones nothing of it.
        """
        burst = {Priority.HIGH: self.burst, Priority.NORMAL: max(self.burst - 1, 1), Priority.LOW: 1}[priority]
        return tat - (burst - 1) * self.interval


@dataclass(frozen=True, slots=True)
class PacingState:
    """The state that the fleet shares. `version` grows with each write.

    `served` holds the last moment of each class, `queue_end` the moment after the last one that was handed out to calls
    of a class that could not wait, and until `normal_until` a normal call sleeps.
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
    """Give the job back to its queue; `until` is a moment of its own at which to ask again."""

    until: int
    state: PacingState


PacingDecision = SendSlot | WaitUntil | ReturnToQueue


def decide(rules: PacingRules, state: PacingState, priority: Priority, now: int, patience: int) -> PacingDecision:
    """Decide a call made `now` by a worker that can sleep for `patience`."""
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
    # Supposing that as much is reserved then as is now; who wakes up too early asks again.
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
        # Other normal calls that sleep wake up before the next moment and say so again.
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
    """Sleep until a moment; the answer is the state that was given, whatever it is by then."""

    until: int
    state: PacingState


@dataclass(frozen=True, slots=True)
class WriteState:
    """Write `to` if the state is still the one `seen`."""

    seen: PacingState
    to: PacingState


@dataclass(frozen=True, slots=True)
class StoreReply:
    """An answer of the store: the state as it is now, and whether the write was made."""

    state: PacingState
    written: bool


class PacingStore(Protocol):
    """The store of the fleet's state. Both methods raise circuit_store.StoreUnavailable."""

    def read(self) -> PacingState:
        """Return the state as it is; PacingState() where it was never written."""
        ...

    def write(self, seen: PacingState, to: PacingState) -> StoreReply:
        """Make the state `to`, unless it is no longer the one `seen`."""
        ...


SlotRequest = ReadState | WriteState | SleepUntil
SlotSession = Generator[SlotRequest, StoreReply, SendSlot]


def take_slot(
    rules: PacingRules, priority: Priority, clock: Callable[[], int], until: int, seen: PacingState | None = None
) -> SlotSession:
    """Return the turn, once it is written; raise RetryLater where the job has to be handed back.

    `until` is when a worker that sleeps has to be done with sleeping. `seen` is the state that it saw last: a TAT only
    grows, so waiting for a free moment by an old one is never too long, and a write by an old one is not made but shows
    the new one. A share is due the sooner the more is reserved, so who would sleep once more reads the state instead.
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
    """Carry a conversation out, and return the state when the call may be made.

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
