"""The circuit breaker of one execution environment: lets calls pass as the fleet's circuit says, and tells it of them.

While all is well nothing is written, and the circuit is read once in `refresh_s` at most. A failed or slow call is
written to the shared store immediately, so that all environments share one count; while a failure counts, nobody calls
without having asked, and the successes that make it count no more are written too. Where the store
is out of reach an environment goes on by what it knew and by what it sees itself: closed goes on serving, open stays
open, and the policy holds for this environment alone.
"""

from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TypeVar

from shared.circuit.state import Outcome, Policy, Snapshot, closed, half_opened, micros, opened
from shared.circuit.store import Conversation, Flight, StoreUnavailable, Written
from shared.circuit.store_client import Line
from shared.circuit.view import Knowledge
from shared.units import SECOND

T = TypeVar("T")

# Receives the name of an event and its facts, none of them personal:
#   circuit_opened, circuit_half_opened, circuit_closed {circuit, generation, alone}   from who moved it
#   circuit_store_unavailable {circuit, error}      the environment goes on alone
#   circuit_result_ignored {circuit, generation}    a call of an older generation came to its end
Observer = Callable[[str, Mapping[str, object]], None]

# Other environments write in the same moment; each lost try shows what they left. Four failures come before the one
# that opens the circuit, and successes in between.
TELL_TRIES = 10
# A probe is soon decided, and a store that was late is soon back: who waits for either asks again after this.
ASK_AGAIN_S = 5.0
# The next call knows more: an answer of the store's is on its way.
SOON_S = 1.0

_MOVED = {"open": "circuit_opened", "half_open": "circuit_half_opened", "closed": "circuit_closed"}


class CircuitOpen(Exception):
    """The call was not made: the circuit `name` is open. It may be tried again in `retry_after_s` seconds."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(name)
        self.name = name
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call. `generation` is None where the circuit was not known; `alone`: by this environment.

    `patience_s` is left of what the call may wait for the store.
    """

    generation: int | None
    began: int
    patience_s: float
    probe: bool = False
    alone: bool = False


class CircuitBreaker:
    """One circuit, as one environment meets it; for any number of threads.

    A call fails by raising one of `failures`, and has not been made where it raises one of `no_calls`: then nothing is
    counted, and a probe's lease runs out. Whatever else it raises is an answer of the dependency's.
    """

    def __init__(
        self,
        policy: Policy,
        line: Line,
        *,
        observer: Observer,
        now: Callable[[], int],
        timer: Callable[[], float],
        new_token: Callable[[], str],
        failures: tuple[type[Exception], ...] = (Exception,),
        no_calls: tuple[type[Exception], ...] = (),
    ) -> None:
        """`now` gives epoch microseconds, `timer` seconds on a clock that never goes back."""
        self.name = policy.name
        self._policy = policy
        self._line = line
        self._observer = observer
        self._now = now
        self._timer = timer
        self._new_token = new_token
        self._failures = failures
        self._no_calls = no_calls
        self._lock = Lock()
        self._known = Knowledge(policy, now())
        # All that a call needs while all is well: until when, and under which generation. Replaced as a whole.
        self._pass: tuple[int, int, Permit] | None = None

    def call(self, run: Callable[[], T]) -> T:
        """Make a call, or raise CircuitOpen instead."""
        permit = self.allow()
        began = self._timer()
        try:
            value = run()
        except self._no_calls:
            raise
        except Exception as error:
            self.record(permit, failed=isinstance(error, self._failures), seconds=self._timer() - began)
            raise
        self.record(permit, failed=False, seconds=self._timer() - began)
        return value

    def allow(self) -> Permit:
        """Leave to make one call, whose end is to be recorded. Raises CircuitOpen."""
        ready = self._pass
        if ready is not None and ready[0] <= self._now() < ready[1]:
            return ready[2]
        left = self._line.patience_s - self._catch_up()
        permit = self._permit(left)
        if permit is None and self._may_seek():
            left -= self._line.talk(self._seek, left)
            permit = self._permit(left)
        if permit is None:
            raise CircuitOpen(self.name, self._retry_after_s())
        return permit

    def wait_s(self) -> float:
        """Seconds until a call may be tried, 0 where it may be now. Takes no probe's lease."""
        self._catch_up()
        with self._lock:
            return 0.0 if self._known.has_lease(self._now()) else self._due_s()

    def record(self, permit: Permit, *, failed: bool, seconds: float) -> None:
        """Say how a permitted call ended, and after how many seconds."""
        slow = seconds >= self._policy.slow_s
        if permit.probe:
            self._settle(permit, well=not (failed or slow))
            return
        with self._lock:
            now = self._now()
            belongs = self._belongs(permit)
            if belongs:
                self._known.results.count(now - round(seconds * SECOND), now, failed=failed or slow)
            suspect = self._known.seen.bucket.failures
        if not belongs:
            self._ignore(permit)
        elif failed or slow or suspect:
            self._tell_or_fall_back(now, permit.patience_s)

    # ---- before a call ----------------------------------------------------------------------------------------------
    def _catch_up(self) -> float:
        """Learn the circuit anew where what is known is too old; return the seconds that were waited."""
        with self._lock:
            now = self._now()
            if self._known.is_fresh(now):
                return 0.0
            begin = self._look if self._known.to_tell(now) is None else self._tell
        return self._line.talk(begin, self._line.patience_s)

    def _permit(self, patience_s: float) -> Permit | None:
        with self._lock:
            now, known = self._now(), self._known
            generation, alone = known.standing.generation, known.alone is not None
            if known.standing.state == "closed":
                known_as = generation if known.as_of is not None else None
                return Permit(known_as, now, patience_s, alone=alone)
            if known.has_lease(now):
                known.token = None
                return Permit(generation, now, patience_s, probe=True)
            if not (known.is_blind(now) and known.due_in(now) == 0):
                return None
            probing = known.probe_alone(now)
        self._emit(probing, alone=True)
        return Permit(probing.generation, now, patience_s, probe=True, alone=True)

    def _may_seek(self) -> bool:
        with self._lock:
            now = self._now()
            return self._known.is_fresh(now) and self._known.due_in(now) == 0

    def _retry_after_s(self) -> float:
        with self._lock:
            return max(self._due_s(), SOON_S)

    def _due_s(self) -> float:
        """Seconds until a probe may be due, as far as it is worth waiting for that unasked.

        Another's lease outlasts the longest call, and the store may be back long before it is given up.
        """
        known, now = self._known, self._now()
        wait_s, standing = known.due_in(now) / SECOND, known.standing
        if standing.state == "half_open":
            return min(wait_s, ASK_AGAIN_S)
        if known.is_blind(now) and standing.probe_due is not None:
            return min(wait_s, max(ASK_AGAIN_S, (standing.probe_due - now) / SECOND))
        return wait_s

    # ---- after a call -----------------------------------------------------------------------------------------------
    def _belongs(self, permit: Permit) -> bool:
        return self._known.belongs(permit.generation, permit.began, alone=permit.alone)

    def _tell_or_fall_back(self, now: int, patience_s: float) -> None:
        """Tell the fleet; where that was not to be had in time, open for this environment if it has seen enough."""
        with self._lock:
            told = self._known.to_tell(now) is None
        if not told:
            self._line.talk(self._tell, patience_s)
        with self._lock:
            alone = self._known.open_alone(now) if self._known.should_open(now) else None
            self._pass = None if alone else self._pass
        if alone:
            self._emit(alone, alone=True)

    def _settle(self, permit: Permit, *, well: bool) -> None:
        """Move the circuit by the probe's end, unless its lease was taken over."""
        with self._lock:
            belongs, seen, now = self._belongs(permit), self._known.seen, self._now()
        if not belongs:
            self._ignore(permit)
            return
        if not permit.alone:
            to = closed(seen, now) if well else opened(seen, self._policy, now)
            self._line.talk(partial(self._move, seen, to), permit.patience_s)
        with self._lock:
            alone = self._known.settle_alone(now, well=well) if self._belongs(permit) else None
        if alone:
            self._emit(alone, alone=True)

    def _ignore(self, permit: Permit) -> None:
        self._observer("circuit_result_ignored", {"circuit": self.name, "generation": permit.generation})

    def _emit(self, moved: Snapshot, *, alone: bool = False) -> None:
        facts = {"circuit": self.name, "generation": moved.generation, "alone": alone}
        self._observer(_MOVED[moved.state], facts)

    # ---- conversations with the store: one at a time, in whatever thread the line has for them -----------------------
    def _look(self) -> Conversation:
        yield from self._flown(lambda store: Written(done=True, now=store.read(self.name)))
        yield from self._judge()

    def _tell(self) -> Conversation:
        """Write what the fleet has not been told, and open the circuit where that is one failure too many."""
        if self._known.as_of is None:
            yield from self._look()
        for _ in range(TELL_TRIES):
            with self._lock:
                seen, told = self._known.seen, self._known.results.untold()
                to = self._known.to_tell(self._now())
            if to is None or (yield from self._write(seen, to, told)):
                break
        yield from self._judge()

    def _seek(self) -> Conversation:
        """Ask for the lease of the probe. An answer that is lost, or late, leaves it ours for the next call."""
        with self._lock:
            now = self._now()
            seen, token = self._known.seen, self._new_token()
            due = seen.state != "closed" and self._known.due_in(now) == 0
            self._known.token = token if due else self._known.token
        if due:
            yield from self._move(seen, half_opened(seen, self._policy, now, token))

    def _judge(self) -> Conversation:
        with self._lock:
            now = self._now()
            seen, enough = self._known.seen, self._known.should_open(now)
        if enough:
            yield from self._move(seen, opened(seen, self._policy, now))

    def _move(self, seen: Snapshot, to: Snapshot) -> Conversation:
        yield from self._write(seen, to)

    def _write(self, seen: Snapshot, to: Snapshot, told: Collection[Outcome] = ()) -> Generator[Flight, Written, bool]:
        """Write what the circuit becomes, and return whether that was done."""
        written = yield from self._flown(lambda store: store.change(self.name, seen, to), told)
        if written.done and to.generation != seen.generation:
            self._emit(to)
        return written.done

    def _flown(self, flight: Flight, told: Collection[Outcome] = ()) -> Generator[Flight, Written, Written]:
        """Fly, and know what the store said (it may have taken what it was `told`), or that it said nothing."""
        asked = self._now()
        try:
            written = yield flight
        except StoreUnavailable as error:
            with self._lock:
                self._known.lose(self._now())
            self._observer("circuit_store_unavailable", {"circuit": self.name, "error": error.code})
            raise
        with self._lock:
            if written.done:
                self._known.results.forget(told)
            self._known.learn(written.now, asked)
            self._pass = self._ready(asked)
        return written

    def _ready(self, as_of: int) -> tuple[int, int, Permit] | None:
        seen = self._known.seen
        if seen.state != "closed" or not self._known.is_fresh(as_of):
            return None
        permit = Permit(seen.generation, as_of, self._line.patience_s)
        return as_of, as_of + micros(self._policy.refresh_s), permit
