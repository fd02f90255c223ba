"""The client of the store of circuits, which has the only thread: nobody waits long for the store, whatever it does."""

from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Protocol

from shared.circuit.store import Answer, CircuitStore, Request, StoreUnavailable, send

# The longest that one call waits for the store, all in all; a request is allowed 50 ms. DynamoDB answers in under
# 10 ms, and some 30 ms later if the connection is to be made first.
STORE_WAIT_S = 0.04
# How long a store that failed is left alone.
STORE_PAUSE_S = 2.0
# The most requests of one exchange. Other environments write in the same moment; each lost write shows what they left.
# Four failures come before the one that opens the circuit, and successes in between.
MOST_REQUESTS = 12

First = Callable[[], Request | None]
Learn = Callable[[Request, Answer], Request | None]


class StoreClient(Protocol):
    """The client of the circuits' store; a call waits for it for `patience_s` seconds at most, all in all."""

    patience_s: float

    def exchange(self, first: First, learn: Learn, within_s: float) -> float:
        """Send the request that `first` returns, and those that `learn` returns in reply to each answer.

        Return how many seconds were waited for the last of them: `within_s` at most. They may go on after that, or may
        not have begun. Nobody waits if `first` returns None; it is asked again after each wait for another exchange.
        """
        ...


class CircuitStoreClient:
    """A StoreClient of a store that may hang, for all circuits of an environment: one exchange at a time, in a thread.

    Nobody waits for an exchange that has outlasted `patience_s`. After one that failed the store is left alone for
    `pause_s`, and then tried without anybody waiting until it answers: a store that is gone costs an environment one
    wait. The lock guards which exchange is under way, and is never held while the store is asked.
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
