"""The circuit breaker of one execution environment: it lets calls pass as the circuit says that all environments share.

- local_view.py decides by what this environment knows, and returns the request to the store that is due.
- client.py sends that request, and limits how long a call waits for the answer.
- state.py is the circuit itself.

While no failure counts, nothing is written, and the circuit is read at most once in `refresh_s`. A failed or slow call
is written to the shared store immediately, so that all environments share one count. While a failure counts, every call
reads the circuit first, and the successes that cancel the failure are written too.

While the store is out of reach, an environment goes on by what it last read and by its own calls: a closed circuit goes
on serving, an open one stays open, and the policy is applied to this environment alone.
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
#   circuit_opened, circuit_half_opened, circuit_closed {circuit, generation, local}   this environment did that
#   circuit_store_unavailable {circuit, error}      the environment goes on by itself
#   circuit_result_ignored {circuit, generation}    a call ended that an older generation had permitted
Observer = Callable[[str, Mapping[str, object]], None]

# The least time to wait after a refused call: by then the answer that is on its way from the store has arrived.
SOON_S = 1.0

_MOVED = {"open": "circuit_opened", "half_open": "circuit_half_opened", "closed": "circuit_closed"}


class CircuitOpen(Exception):
    """The call was not made: the circuit `name` is open. It may be tried again in `retry_after_s` seconds."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(name)
        self.name = name
        self.retry_after_s = retry_after_s


class CircuitBreaker:
    """One circuit, as one environment sees it; safe for any number of threads.

    A call that raises one of `failures` has failed. One that raises one of `no_calls` was not made: nothing is counted,
    and if it was a probe, its lease expires. Any other exception is an answer of the dependency.
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
        # Guards the view, which the client's thread changes too. It is held while deciding, never while waiting.
        self._lock = Lock()
        self._view = LocalView(policy, now(), new_token)
        # The last permit, which may cover further calls: read without the lock, and only replaced as a whole.
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
        """Return the permit of one call, whose end has to be passed to `record`. Raise CircuitOpen if there is none."""
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
        """Return the seconds until a call may be tried, 0 if it may be tried now. Never take a probe's lease."""
        self._ask(self._view.request_refresh, self._client.patience_s)
        with self._lock:
            return self._view.measure_wait_s(self._now())

    def record(self, permit: CallPermit, *, failed: bool, seconds: float) -> None:
        """Record whether a permitted call failed, and how many seconds it took."""
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
        """Write a call's end to the shared circuit; if that takes too long, change this environment's own circuit."""
        report = partial(self._view.request_report, permit, failed=failed)
        self._ask(report, self._client.patience_s - permit.waited_s)
        with self._lock:
            moved = self._view.settle(permit, now, failed=failed)
            self._permit = None
        if moved:
            self._emit(moved.state, moved.generation, local=True)

    def _ask(self, due: Callable[[int], Request | None], within_s: float) -> float:
        """Send the request that is due, if any; return the seconds that this took the caller."""

        def first() -> Request | None:
            with self._lock:
                return due(self._now())

        return 0.0 if first() is None else self._client.exchange(first, self._learn, within_s)

    def _learn(self, request: Request, answer: Answer) -> Request | None:
        """Take in an answer of the store, in the client's thread, and return the request to send next, if any."""
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
