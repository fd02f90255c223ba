"""Repeated failovers, each on the servers that the last one left: the writer dies, its standby takes over."""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

from tests.databases import FreshDatabase, PostgresHandle
from tests.failover.client_calls import CallSource, Effects, count_effects
from tests.failover.client_fleet import ClientFleet
from tests.failover.relay import TcpRelay, relay_to
from tests.failover.servers import (
    APART_S,
    WriteProbe,
    find_sender,
    kill,
    promote,
    start_follower,
    start_writer,
    synchronise,
)

ENVIRONMENTS = 12
# The earliest time at which the writer dies, and the longest for which nobody notices.
WORK_S = 0.5
UNNOTICED_S = 1.5
# The promise: nothing is refused for longer after the promotion.
GRACE_S = 0.2


@dataclass(frozen=True, slots=True)
class FailoverTimes:
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
        """Return whether the promise was kept, as far as a busy machine lets anybody judge."""
        return self.over_s <= GRACE_S + self.cut_s


@dataclass(frozen=True, slots=True)
class _FailoverMoments:
    """When the writer was killed, when nothing of it was left, when the next took a write; in epoch seconds."""

    killed: float
    gone: float
    writable: float


class FailoverSetup:
    """A writer, its standby, the address that leads to the writer, and a fleet that writes by that address."""

    def __init__(self, folder: Path, seed: int, ends: ExitStack) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._ends = ends
        self._deaths = cycle([self._kill_unanswered, self._kill_unheard])
        self.writer = self._wait_for_end(start_writer(folder))
        self.fresh_database = self.writer.make_fresh_database()
        work = CallSource(self.fresh_database, seed)
        self._before = count_effects(self.fresh_database)
        self._relay: TcpRelay = ends.enter_context(relay_to(self.writer.server.port))
        settings = self.fresh_database.direct.model_copy(update={"db_port": self._relay.port})
        self.fleet = ClientFleet(settings, work, environments=ENVIRONMENTS, seed=seed)
        ends.enter_context(self.fleet.run())

    def _wait_for_end(self, server: PostgresHandle) -> PostgresHandle:
        self._ends.callback(server.child.stop)
        return server

    def fail_over(self) -> FailoverTimes:
        """Kill the writer at work and let its standby take over; returns when every client has its answer."""
        standby = self._wait_for_end(start_follower(self.writer, self._folder))
        synchronise(self.writer)
        self.fleet.resume()
        time.sleep(WORK_S)
        cut = time.time()
        self._relay.cut()
        time.sleep(WORK_S + self._random.uniform(0, WORK_S))
        moments = self._replace(self.writer, standby)
        time.sleep(WORK_S)
        self.fleet.drain()
        self.writer, self.fresh_database = standby, FreshDatabase(standby, self.fresh_database.name)
        return self._measure_failover(cut, moments)

    def _replace(self, writer: PostgresHandle, standby: PostgresHandle) -> _FailoverMoments:
        led_before, lead = self._random.random() < 0.5, partial(self._relay.retarget, standby.server.port)
        with WriteProbe(standby, (lambda: None) if led_before else lead) as prober:
            killed = time.time()
            next(self._deaths)(writer)
            gone = time.time()
            time.sleep(self._random.uniform(0, UNNOTICED_S))
            if led_before:  # to a server that takes no writes yet
                lead()
            promote(standby)
            writable = prober.wait()
        return _FailoverMoments(killed, gone, writable)

    def _kill_unheard(self, writer: PostgresHandle) -> None:
        """Its standby hears nothing of its last commits: none of them may have been acknowledged."""
        kill(writer, first=(find_sender(writer),))

    def _kill_unanswered(self, writer: PostgresHandle) -> None:
        """Its last commits reach the standby and not their clients: none of them may be done again."""
        self._relay.hold_answers()
        time.sleep(APART_S)
        kill(writer)
        self._relay.cut()
        self._relay.release()

    def _measure_failover(self, cut: float, moments: _FailoverMoments) -> FailoverTimes:
        gap_s, cut_s = self._measure_gap(moments.killed, moments.gone), self._measure_gap(cut, cut)
        return FailoverTimes(moments.writable - moments.killed, gap_s, cut_s)

    def _measure_gap(self, ended: float, gone: float) -> float:
        """Return seconds from the last answer before a line `ended` to the first of what was begun when it was `gone`.

        By the rows' times: an answer may come late, or again, and be of work that was done before.
        """
        rows = self.fresh_database.query_rows(
            "SELECT key, extract(epoch FROM created_at)::float8 AS at FROM idempotency_keys"
        )
        began: defaultdict[str, float] = defaultdict(float, {row["key"]: row["at"] for row in rows})
        answers = [attempt for attempt in self.fleet.attempts if attempt.is_answered]
        last = max(a.answered_at for a in answers if a.answered_at <= ended)
        return min(a.answered_at for a in answers if began[a.call.key] > gone) - last

    def list_differences(self) -> tuple[Effects, Effects]:
        """Effects that were answered and are missing, and effects that are there more often than answered."""
        expected, found = self.fleet.count_expected(), Counter(count_effects(self.fresh_database))
        found.subtract(self._before)
        return expected - found, found - expected

    def list_figures(self, measured: list[FailoverTimes]) -> dict[str, object]:
        """Return the figures of the failovers that went well."""
        statuses = Counter(attempt.reply.status for attempt in self.fleet.attempts)
        lost, doubled = self.list_differences()
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
def run_failover_setup(folder: Path, seed: int) -> Iterator[FailoverSetup]:
    """Run servers and a fleet of clients, and end all of them with the block."""
    with ExitStack() as ends:
        yield FailoverSetup(folder, seed, ends)
