"""The circuit breaker of one execution environment, which lets calls pass as the fleet's circuit says.

local_view.py decides by what the environment knows, and names the next request to the store; client.py sends it and
limits the wait; state.py is the circuit.

While all is well nothing is written, and the circuit is read once in `refresh_s` at most. A failed or slow call is
written to the shared store immediately, so that all environments share one count; while a failure counts, nobody calls
without having asked, and the successes that make it count no more are written too. Where the store is out of reach an
environment goes on by what it knew and by what it sees itself: closed goes on serving, open stays open, and the policy
holds for this environment alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TypeVar

from shared.circuit.client import StoreClient
from shared.circuit.local_view import CallPermit, LocalView
from shared.circuit.state import CircuitPolicy, State
from shared.circuit.store import Answer, Request, StoreUnavailable
from shared.units import SECOND

T = TypeVar("T")

# Receives the name of an event and its facts, none of them personal, without any lock being held:
#   circuit_opened, circuit_half_opened, circuit_closed {circuit, generation, local}   from who moved it
#   circuit_store_unavailable {circuit, error}      the environment goes on by itself
#   circuit_result_ignored {circuit, generation}    a call of an older generation came to its end
Observer = Callable[[str, Mapping[str, object]], None]

# The next call knows more: an answer of the store's is on its way.
SOON_S = 1.0

_MOVED = {"open": "circuit_opened", "half_open": "circuit_half_opened", "closed": "circuit_closed"}


class CircuitOpen(Exception):
    """The call was not made: the circuit `name` is open. It may be tried again in `retry_after_s` seconds."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(name)
        self.name = name
        self.retry_after_s = retry_after_s


class CircuitBreaker:
    """One circuit, as one environment meets it; for any number of threads.

    A call fails by raising one of `failures`, and has not been made if it raises one of `no_calls`: then nothing is
    counted, and a probe's lease runs out. Whatever else it raises is an answer of the dependency's.
    """

    def __init__(
        self,
        policy: CircuitPolicy,
        client: StoreClient,
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
        self._slow_s = policy.slow_s
        self._client = client
        self._observer = observer
        self._now = now
        self._timer = timer
        self._failures = failures
        self._no_calls = no_calls
        # Guards the view, which the client's thread changes too. It is held for a decision, never for a wait.
        self._lock = Lock()
        self._view = LocalView(policy, now(), new_token)
        # The last permit, which is good for more calls while all is well: read without the lock, replaced as a whole.
        self._permit: CallPermit | None = None

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

    def allow(self) -> CallPermit:
        """Return permission for one call, whose end is to be recorded. Raises CircuitOpen."""
        permit = self._permit
        if permit is not None and permit.began <= self._now() < permit.until:
            return permit
        view, patience_s = self._view, self._client.patience_s
        waited_s = self._ask(view.request_refresh, patience_s)
        waited_s += self._ask(view.request_lease, patience_s - waited_s)
        with self._lock:
            now = self._now()
            self._permit = permit = view.permit(now)
            retry_after_s = max(view.measure_wait_s(now), SOON_S)
        if permit is None:
            raise CircuitOpen(self.name, retry_after_s)
        if permit.probe and permit.local:
            self._emit("half_open", permit.generation, local=True)
        return replace(permit, waited_s=waited_s) if waited_s else permit

    def measure_wait_s(self) -> float:
        """Return the seconds until a call may be tried, 0 if it may be tried now. Take no lease of a probe."""
        self._ask(self._view.request_refresh, self._client.patience_s)
        with self._lock:
            return self._view.measure_wait_s(self._now())

    def record(self, permit: CallPermit, *, failed: bool, seconds: float) -> None:
        """Say how a permitted call ended, and after how many seconds."""
        failed = failed or seconds >= self._slow_s
        view = self._view
        with self._lock:
            now = self._now()
            is_current = view.is_current(permit)
            if is_current and not permit.probe:
                view.count(now - round(seconds * SECOND), now, failed=failed)
            has_news = failed or permit.probe or view.seen.bucket.failures
        if not is_current:
            self._observer("circuit_result_ignored", {"circuit": self.name, "generation": permit.generation})
        elif has_news:
            self._report(permit, now, failed=failed)

    def _report(self, permit: CallPermit, now: int, *, failed: bool) -> None:
        """Write what a call changes for the fleet; if that takes too long, change this environment's own circuit."""
        report = partial(self._view.request_report, permit, failed=failed)
        self._ask(report, self._client.patience_s - permit.waited_s)
        with self._lock:
            moved = self._view.settle(permit, now, failed=failed)
            self._permit = None
        if moved:
            self._emit(moved.state, moved.generation, local=True)

    def _ask(self, due: Callable[[int], Request | None], within_s: float) -> float:
        """Send the request that is due, if any; return how many seconds were waited for the answer."""

        def first() -> Request | None:
            with self._lock:
                return due(self._now())

        return 0.0 if first() is None else self._client.exchange(first, self._learn, within_s)

    def _learn(self, request: Request, answer: Answer) -> Request | None:
        """Take in an answer, in the client's thread, and return what to send next."""
        with self._lock:
            following = self._view.learn(request, answer, self._now())
            self._permit = None
        if isinstance(answer, StoreUnavailable):
            self._observer("circuit_store_unavailable", {"circuit": self.name, "error": answer.code})
        elif answer.done and answer.now.generation != request.seen.generation:
            self._emit(answer.now.state, answer.now.generation)
        return following

    def _emit(self, state: State, generation: int | None, *, local: bool = False) -> None:
        self._observer(_MOVED[state], {"circuit": self.name, "generation": generation, "local": local})
