"""A store of circuits in memory, and lines to it that a test holds in its hands."""

from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from shared.circuit.state import NEW, Snapshot
from shared.circuit.store import CircuitStore, Conversation, Flight, StoreUnavailable, Written, hold


class InMemoryCircuits:
    """A CircuitStore; `reachable = False` takes it away, `calls` names what it was asked."""

    def __init__(self) -> None:
        self.reachable = True
        self.calls: list[str] = []
        self.moves: list[tuple[Snapshot, Snapshot]] = []
        self._circuits: dict[str, Snapshot] = {}
        self._lock = Lock()

    def read(self, name: str) -> Snapshot:
        """See CircuitStore.read."""
        with self._lock:
            return self._reached("read", name)

    def change(self, name: str, seen: Snapshot, to: Snapshot) -> Written:
        """See CircuitStore.change."""
        with self._lock:
            held = self._reached("change", name)
            if (held.generation, held.revision) != (seen.generation, seen.revision):
                return Written(done=False, now=held)
            self._circuits[name] = to
            if to.generation != held.generation:
                self.moves.append((held, to))
            return Written(done=True, now=to)

    def _reached(self, call: str, name: str) -> Snapshot:
        self.calls.append(call)
        if not self.reachable:
            raise StoreUnavailable("Unreachable")
        return self._circuits.get(name, NEW)


class DirectLine:
    """A Line that holds a conversation at once and in the caller's thread; a store that fails is tried each time."""

    patience_s = 1.0

    def __init__(self, store: CircuitStore) -> None:
        self._store = store
        self._lock = Lock()

    def talk(self, begin: Callable[[], Conversation], within_s: float) -> float:
        """See Line.talk."""
        with self._lock, suppress(StoreUnavailable):
            hold(begin(), self._store)
        return 0.0


class SteppedLine:
    """A Line whose conversation goes on when a test says so: between two flights an environment can stand still."""

    patience_s = 0.0

    def __init__(self, store: CircuitStore) -> None:
        self.flight: Flight | None = None
        self._store = store
        self._conversation: Conversation | None = None

    def talk(self, begin: Callable[[], Conversation], within_s: float) -> float:
        """See Line.talk. Nobody waits."""
        if self.flight is None:
            conversation = self._conversation = begin()
            self._go_on(lambda: next(conversation))
        return 0.0

    def step(self) -> None:
        """Fly once, and let the conversation go on to its next flight."""
        if self.flight is not None and self._conversation is not None:
            conversation, written = self._conversation, self.flight(self._store)
            self._go_on(lambda: conversation.send(written))

    def lose(self, *, made: bool) -> None:
        """The flight's answer is lost; it was `made` or not."""
        if self.flight is not None and self._conversation is not None:
            conversation = self._conversation
            if made:
                self.flight(self._store)
            self._go_on(lambda: conversation.throw(StoreUnavailable("ReadTimeoutError")))

    def finish(self) -> None:
        """Fly all that is left."""
        while self.flight is not None:
            self.step()

    def _go_on(self, resume: Callable[[], Flight]) -> None:
        self.flight = None
        with suppress(StopIteration, StoreUnavailable):
            self.flight = resume()
