"""The client of the store of circuits: nobody waits for it for long, whatever the store does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Protocol

from shared.circuit.store import CircuitStore, Conversation, StoreUnavailable, hold

# What one call may wait for the store, all in all; a request is allowed 50 ms. DynamoDB answers in under 10 ms, and
# some 30 ms later where the connection is to be made first.
STORE_WAIT_S = 0.04
# How long a store that failed is left alone.
STORE_PAUSE_S = 2.0


class Line(Protocol):
    """Holds conversations with the store."""

    @property
    def patience_s(self) -> float:
        """Return how many seconds one call may wait for the store, all in all."""
        ...

    def talk(self, begin: Callable[[], Conversation], within_s: float) -> float:
        """Begin a conversation and return how many seconds were waited for its end: `within_s` at most.

        It may go on after that, or may not have begun; who asked looks at what it has learned.
        """
        ...


@dataclass(slots=True, eq=False)
class _Run:
    conversation: Conversation
    began: float
    done: Event = field(default_factory=Event)


class StoreLine:
    """A Line over a store that may hang: conversations are held in threads, one at a time.

    All circuits of an environment share it. Nobody waits for a conversation that has outlasted `patience_s`. After
    one that failed the store is left alone for `pause_s`, and then tried without anybody waiting until it answers:
    a store that is gone costs an environment one wait.
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
        self._run: _Run | None = None
        self._failed_at: float | None = None

    def talk(self, begin: Callable[[], Conversation], within_s: float) -> float:
        """See Line.talk."""
        asked = self._timer()
        until = asked + within_s
        while (others := self._begin(begin, until)) is not None and self._worth_waiting(others):
            if not others.done.wait(max(0.0, until - self._timer())):
                break
        return self._timer() - asked

    def _begin(self, begin: Callable[[], Conversation], until: float) -> _Run | None:
        """Hold the conversation, waiting until then; where another is under way return that one instead."""
        with self._lock:
            if self._run is not None:
                return self._run
            if self._resting():
                return None
            run = self._run = _Run(begin(), self._timer())
            patient = self._failed_at is None
        Thread(target=self._hold, args=(run,), name="circuits", daemon=True).start()
        if patient:
            run.done.wait(max(0.0, until - self._timer()))
        return None

    def _worth_waiting(self, run: _Run) -> bool:
        return self._failed_at is None and self._timer() - run.began < self.patience_s

    def _resting(self) -> bool:
        return self._failed_at is not None and self._timer() - self._failed_at < self._pause_s

    def _hold(self, run: _Run) -> None:
        failed_at: float | None = None
        try:
            hold(run.conversation, self._store)
        except StoreUnavailable:
            failed_at = self._timer()
        finally:
            with self._lock:
                self._failed_at = failed_at
                self._run = None
            run.done.set()
