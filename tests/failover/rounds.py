"""Failovers in a row, each on what the one before has left: the writer dies and its standby takes over."""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

from tests.databases import Blank, Postgres
from tests.failover.fleet import Fleet
from tests.failover.relay import Relay, relay_to
from tests.failover.servers import (
    APART_S,
    Prober,
    kill,
    promote,
    sender_of,
    started_follower,
    started_writer,
    synchronise,
)
from tests.failover.work import Effects, Work, effects_in

ENVIRONMENTS = 12
# The writer dies after so long at the earliest, and nobody notices for so long at most.
WORK_S = 0.5
UNNOTICED_S = 1.5
# The promise: nothing is refused for longer after the promotion.
GRACE_S = 0.2


@dataclass(frozen=True, slots=True)
class Measured:
    """One failover, in seconds: `promotion_s` from the kill until the new writer took a write, `gap_s` from the last
    write acknowledged before the kill to the first after it, `cut_s` such a gap where only the connections were cut."""

    promotion_s: float
    gap_s: float
    cut_s: float

    @property
    def over_s(self) -> float:
        """How much longer than the promotion nothing was acknowledged."""
        return self.gap_s - self.promotion_s

    @property
    def in_time(self) -> bool:
        """Whether the promise was kept, as far as a busy machine lets anybody tell."""
        return self.over_s <= GRACE_S + self.cut_s


@dataclass(frozen=True, slots=True)
class _Moments:
    """When the writer was killed, when nothing of it was left, when the next took a write; in epoch seconds."""

    killed: float
    gone: float
    writable: float


class Bench:
    """A writer, its standby, the address that leads to the writer, and a fleet that writes by that address."""

    def __init__(self, folder: Path, seed: int, ends: ExitStack) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._ends = ends
        self._deaths = cycle([self._kill_unanswered, self._kill_unheard])
        self.writer = self._ended(started_writer(folder))
        self.blank = self.writer.fresh()
        work = Work(self.blank, seed)
        self._before = effects_in(self.blank)
        self._relay: Relay = ends.enter_context(relay_to(self.writer.server.port))
        settings = self.blank.direct.model_copy(update={"db_port": self._relay.port})
        self.fleet = Fleet(settings, work, environments=ENVIRONMENTS, seed=seed)
        ends.enter_context(self.fleet.at_work())

    def _ended(self, server: Postgres) -> Postgres:
        self._ends.callback(server.child.stop)
        return server

    def fail_over(self) -> Measured:
        """Kill the writer at work and let its standby take over; returns when every client has its answer."""
        standby = self._ended(started_follower(self.writer, self._folder))
        synchronise(self.writer)
        self.fleet.resume()
        time.sleep(WORK_S)
        cut = time.time()
        self._relay.cut()
        time.sleep(WORK_S + self._random.uniform(0, WORK_S))
        moments = self._replace(self.writer, standby)
        time.sleep(WORK_S)
        self.fleet.drain()
        self.writer, self.blank = standby, Blank(standby, self.blank.name)
        return self._measured(cut, moments)

    def _replace(self, writer: Postgres, standby: Postgres) -> _Moments:
        led_before, lead = self._random.random() < 0.5, partial(self._relay.lead_to, standby.server.port)
        with Prober(standby, (lambda: None) if led_before else lead) as prober:
            killed = time.time()
            next(self._deaths)(writer)
            gone = time.time()
            time.sleep(self._random.uniform(0, UNNOTICED_S))
            if led_before:  # to a server that takes no writes yet
                lead()
            promote(standby)
            writable = prober.wait()
        return _Moments(killed, gone, writable)

    def _kill_unheard(self, writer: Postgres) -> None:
        """Its standby hears nothing of its last commits: none of them may have been acknowledged."""
        kill(writer, first=(sender_of(writer),))

    def _kill_unanswered(self, writer: Postgres) -> None:
        """Its last commits reach the standby and not their clients: none of them may be done again."""
        self._relay.hold_answers()
        time.sleep(APART_S)
        kill(writer)
        self._relay.cut()
        self._relay.speak()

    def _measured(self, cut: float, moments: _Moments) -> Measured:
        gap_s, cut_s = self._gap(moments.killed, moments.gone), self._gap(cut, cut)
        return Measured(moments.writable - moments.killed, gap_s, cut_s)

    def _gap(self, ended: float, gone: float) -> float:
        """Seconds from the last answer before a line `ended` to the first of what was begun when it was `gone`.

        By the rows' times: an answer may come late, or again, and be of work that was done before.
        """
        rows = self.blank.rows("SELECT key, extract(epoch FROM created_at)::float8 AS at FROM idempotency_keys")
        began: defaultdict[str, float] = defaultdict(float, {row["key"]: row["at"] for row in rows})
        answers = [attempt for attempt in self.fleet.attempts if attempt.ended]
        last = max(a.answered_at for a in answers if a.answered_at <= ended)
        return min(a.answered_at for a in answers if began[a.call.key] > gone) - last

    def differences(self) -> tuple[Effects, Effects]:
        """What the clients were told and is not there, and what is there more often than they were told."""
        told, found = self.fleet.expected(), Counter(effects_in(self.blank))
        found.subtract(self._before)
        return told - found, found - told

    def figures(self, measured: list[Measured]) -> dict[str, object]:
        """What there is to say of failovers that went well."""
        statuses = Counter(attempt.reply.status for attempt in self.fleet.attempts)
        lost, doubled = self.differences()
        return {
            "rounds": len(measured),
            "calls": len({attempt.call.key for attempt in self.fleet.attempts}),
            "statuses": dict(sorted(statuses.items())),
            "lost": lost.total(),
            "doubled": doubled.total(),
            "promotion_ms": [round(one.promotion_s * 1000) for one in measured],
            "gap_over_promotion_ms": [round(one.over_s * 1000) for one in measured],
            "gap_when_only_cut_ms": [round(one.cut_s * 1000) for one in measured],
        }


@contextmanager
def bench(folder: Path, seed: int) -> Iterator[Bench]:
    """A bench with its servers and its fleet, all ended with the block."""
    with ExitStack() as ends:
        yield Bench(folder, seed, ends)
