"""The client of the circuits' store: it calls the store in a thread, so that no call waits long even if it hangs."""

from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Protocol

from shared.circuit.store import Answer, CircuitStore, Request, StoreUnavailable, send

# The longest that one call waits for the store in total: all that a breaker adds to a request may take 50 ms. DynamoDB
# answers in under 10 ms, and takes some 30 ms more if the connection has to be made first.
STORE_WAIT_S = 0.04
# How long the store is not called after a failure.
STORE_PAUSE_S = 2.0
# The most requests of one exchange. A write that loses against another environment's returns what that one has written,
# and is tried again. Four failures, with successes in between, may be written before the one that opens the circuit.
MOST_REQUESTS = 12

First = Callable[[], Request | None]
Learn = Callable[[Request, Answer], Request | None]


class StoreClient(Protocol):
    """The client of the circuits' store; a call waits for it for at most `patience_s` seconds in total."""

    patience_s: float

    def exchange(self, first: First, learn: Learn, within_s: float) -> float:
        """Send the request that `first` returns, and after each answer the one that `learn` returns.

        Wait for the last answer for at most `within_s` seconds, and return the seconds that were spent. The exchange
        may go on after that, or may not have begun. If another exchange is under way, wait for its end and call `first`
        again. If `first` returns None, nothing is sent.
        """
        ...


class CircuitStoreClient:
    """A StoreClient of a store that may hang, for all circuits of an environment: one exchange at a time, in a thread.

    No call waits for an exchange that has already taken `patience_s`. After a failed exchange the store is not called
    for `pause_s`. Then it is called again, but no call waits for it until it has answered: so an unreachable store
    delays one call of an environment. The lock guards which exchange is under way; it is never held during a call to
    the store.
    """

    def __init__(
        self,
        store: CircuitStore,
        *,
        timer: Callable[[], float],
        patience_s: float = STORE_WAIT_S,
        pause_s: float = STORE_PAUSE_S,
    ) -> None:
        """`timer` gives seconds on a clock that never goes back."""
        self.patience_s = patience_s
        self._store = store
        self._timer = timer
        self._pause_s = pause_s
        self._lock = Lock()
        self._under_way: Event | None = None  # set when the exchange ends
        self._began = 0.0
        self._failed_at: float | None = None

    def exchange(self, first: First, learn: Learn, within_s: float) -> float:
        """See StoreClient.exchange."""
        asked = self._timer()
        while True:
            with self._lock:
                request = None if self._is_paused() else first()
                if request is None:
                    break
                others = self._under_way
                ended = others or Event()
                if ended is not others:
                    self._under_way, self._began = ended, self._timer()
                patient = self._failed_at is None and self._timer() - self._began < self.patience_s
            if ended is not others:
                Thread(target=self._run, args=(request, learn, ended), name="circuits", daemon=True).start()
            if not patient or not ended.wait(max(0.0, asked + within_s - self._timer())) or ended is not others:
                break
        return self._timer() - asked

    def _is_paused(self) -> bool:
        return self._failed_at is not None and self._timer() - self._failed_at < self._pause_s

    def _run(self, request: Request | None, learn: Learn, ended: Event) -> None:
        failed_at: float | None = None
        try:
            for _ in range(MOST_REQUESTS):
                if request is None:
                    break
                answer = self._send(request)
                if isinstance(answer, StoreUnavailable):
                    failed_at = self._timer()
                request = learn(request, answer)
        finally:
            with self._lock:
                self._failed_at, self._under_way = failed_at, None
            ended.set()

    def _send(self, request: Request) -> Answer:
        try:
            return send(request, self._store)
        except Exception as error:  # noqa: BLE001 - whatever it was, the store did not do what was asked
            return StoreUnavailable(type(error).__name__)
