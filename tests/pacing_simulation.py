"""A simulated fleet of mail workers in virtual time, on the real pacing code, queues and batches."""

import heapq
import itertools
import math
import random
from collections import defaultdict, deque
from collections.abc import Generator
from dataclasses import dataclass, field

from tests.fakes.pacing import InMemoryPacingStore
from worker.job_runner import MOST_HOPS
from worker.priority_pacing import (
    PacingRules,
    PacingState,
    Priority,
    SendSlot,
    SleepUntil,
    StoreReply,
    WriteState,
    take_slot,
)
from worker.retry_later import RetryLater

SECOND = 1_000_000
MS = SECOND // 1000

# From template.yaml: how many workers a queue has, and how many messages one of them takes.
WORKERS = {Priority.HIGH: 10, Priority.NORMAL: 4, Priority.LOW: 2}
BATCH = {Priority.HIGH: 1, Priority.NORMAL: 5, Priority.LOW: 10}
SLEEP = 29 * SECOND  # of the 59.5 s that an invocation has, less pace.AWAKE_S
# Relay and queue. With all that follows, a lone mail leaves after 0.13 s on average; an idle local cloud took 0.16 s.
DELIVERY = (40 * MS, 160 * MS)
CLAIM = (3 * MS, 15 * MS)
CALL = (1 * MS, 8 * MS)  # to the table, there and back
SEND = (20 * MS, 60 * MS)  # to begin, to send and to settle
RELAY = (20 * MS, 200 * MS)  # after a delayed wake-up, which comes in whole seconds
SWEEP = 60 * SECOND  # the relay's schedule

Process = Generator[int | None, None, None]  # yields when to go on; None: when a message comes


@dataclass
class SimulatedMail:
    """A mail: when its job was committed, when its worker asked for its turn, the moment it was given, when it left."""

    priority: Priority
    arrived: int
    asked: int | None = None  # the last time; before that it was handed back so often
    moment: int | None = None
    left: int | None = None
    handed_back: int = 0
    hops: int = 0  # of the chain of messages that it came by

    @property
    def waited(self) -> int:
        """Microseconds from the commit until it left."""
        assert self.left is not None, "never left"
        return self.left - self.arrived


@dataclass
class PacingSimulation:
    """Runs `mails` through the fleet until all have left, or `limit` is reached."""

    rules: PacingRules
    mails: list[SimulatedMail]
    seed: int = 1
    limit: int = 24 * 3600 * SECOND
    now: int = 1_000_000 * SECOND
    store: InMemoryPacingStore = field(default_factory=InMemoryPacingStore)
    asked: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._numbers = itertools.count()
        self._events: list[tuple[int, int, Process]] = []
        self._queues: dict[Priority, deque[SimulatedMail]] = defaultdict(deque)
        self._idle: dict[Priority, list[Process]] = defaultdict(list)
        self._parked = Priority.HIGH
        self._pending: list[tuple[int, SimulatedMail]] = []  # in the outbox, each with the time when it is due
        self._start = self.now

    def run(self) -> "PacingSimulation":
        """Let time pass."""
        for priority, count in WORKERS.items():
            for _ in range(count):
                self._resume(self._run_worker(priority), self.now)
        for mail in self.mails:
            mail.arrived += self._start
            self._pending.append((mail.arrived, mail))
            self._resume(self._run_relay(mail.arrived, 0), self.now)
        while self._events and self._events[0][0] <= self._start + self.limit:
            self.now, _, process = heapq.heappop(self._events)
            self._run_process(process)
        return self

    def list_sent(self, priority: Priority) -> list[SimulatedMail]:
        """Return the mails of a class that have left, in the order in which they did."""
        left = [mail for mail in self.mails if mail.priority is priority and mail.left is not None]
        return sorted(left, key=lambda mail: mail.left or 0)

    @property
    def moments(self) -> list[int]:
        """The moments that mails were given, from the start."""
        return sorted(mail.moment - self._start for mail in self.mails if mail.moment is not None)

    def _run_process(self, process: Process) -> None:
        for wake in process:
            if wake is None:
                self._idle[self._parked].append(process)
            else:
                self._resume(process, wake)
            break

    def _resume(self, process: Process, at: int) -> None:
        heapq.heappush(self._events, (max(at, self.now), next(self._numbers), process))

    def _schedule_after(self, between: tuple[int, int]) -> int:
        return self.now + self._random.randint(*between)

    def _run_relay(self, at: int, hops: int) -> Process:
        """Publish what is due, whoever has woken the relay for it."""
        yield at
        due = [mail for due_at, mail in self._pending if due_at <= self.now]
        self._pending = [(due_at, mail) for due_at, mail in self._pending if due_at > self.now]
        for mail in due:
            mail.hops = hops
            self._resume(self._deliver_mail(mail), self.now)

    def _deliver_mail(self, mail: SimulatedMail) -> Process:
        yield self.now
        yield self._schedule_after(DELIVERY)
        self._queues[mail.priority].append(mail)
        if idle := self._idle[mail.priority]:
            self._resume(idle.pop(), self.now)

    def _run_worker(self, priority: Priority) -> Process:
        queue, memory = self._queues[priority], dict[str, PacingState]()
        while True:
            while not queue:
                self._parked = priority
                yield None
            batch = [queue.popleft() for _ in range(min(BATCH[priority], len(queue)))]
            until, hops = self.now + SLEEP, max(mail.hops for mail in batch)
            for mail in batch:
                yield self._schedule_after(CLAIM)
                yield from self._do(mail, until, hops, memory)

    def _do(self, mail: SimulatedMail, until: int, hops: int, memory: dict[str, PacingState]) -> Process:
        conversation = take_slot(self.rules, mail.priority, lambda: self.now, until, memory.get("state"))
        mail.asked = self.now
        try:
            request = next(conversation)
            while True:
                if isinstance(request, SleepUntil):
                    yield request.until
                    request = conversation.send(StoreReply(request.state, written=False))
                    continue
                yield self._schedule_after(CALL)
                self.asked += 1
                if isinstance(request, WriteState):
                    stored = self.store.write(request.seen, request.to)
                else:
                    stored = StoreReply(self.store.read(), written=False)
                yield self._schedule_after(CALL)
                request = conversation.send(stored)
        except StopIteration as end:
            turn: SendSlot = end.value
            memory["state"], mail.moment = turn.state, turn.moment
            yield mail.moment
            mail.left = self.now
            yield self._schedule_after(SEND)
        except RetryLater as error:
            self._hand_back(mail, error.delay_s, hops)

    def _hand_back(self, mail: SimulatedMail, delay_s: float, hops: int) -> None:
        """Wake the relay when the mail is due; after too many hops its schedule finds it."""
        mail.handed_back += 1
        self._pending.append((self.now + round(delay_s * SECOND), mail))
        woken_at = self.now + math.ceil(delay_s) * SECOND
        swept_at = woken_at + -woken_at % SWEEP
        run = (woken_at, hops + 1) if hops < MOST_HOPS else (swept_at, 0)
        self._resume(self._run_relay(run[0] + self._random.randint(*RELAY), run[1]), self.now)
