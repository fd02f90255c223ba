"""A circuit store in memory, and clients of it whose requests a test runs one by one."""

from threading import Lock

from shared.circuit.client import First, Learn
from shared.circuit.state import NEW, CircuitSnapshot
from shared.circuit.store import CircuitStore, Request, StoreUnavailable, WriteResult, send


class InMemoryCircuitStore:
    """A CircuitStore; `reachable = False` takes it away, `calls` names what it was asked."""

    def __init__(self) -> None:
        self.reachable = True
        self.calls: list[str] = []
        self.transitions: list[tuple[CircuitSnapshot, CircuitSnapshot]] = []
        self._circuits: dict[str, CircuitSnapshot] = {}
        self._lock = Lock()

    def read(self, name: str) -> CircuitSnapshot:
        """See CircuitStore.read."""
        with self._lock:
            return self._note_call("read", name)

    def change(self, name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
        """See CircuitStore.change."""
        with self._lock:
            held = self._note_call("change", name)
            if (held.generation, held.revision) != (seen.generation, seen.revision):
                return WriteResult(done=False, now=held)
            self._circuits[name] = to
            if to.generation != held.generation:
                self.transitions.append((held, to))
            return WriteResult(done=True, now=to)

    def _note_call(self, call: str, name: str) -> CircuitSnapshot:
        self.calls.append(call)
        if not self.reachable:
            raise StoreUnavailable("Unreachable")
        return self._circuits.get(name, NEW)


class DirectClient:
    """A StoreClient that asks at once and in the caller's thread; a store that fails is tried each time."""

    patience_s = 1.0

    def __init__(self, store: CircuitStore) -> None:
        self._store = store
        self._lock = Lock()

    def exchange(self, first: First, learn: Learn, within_s: float) -> float:
        """See StoreClient.exchange."""
        with self._lock:
            request = first()
            while request is not None:
                request = learn(request, send(request, self._store))
        return 0.0


class SteppedClient:
    """A StoreClient whose `request` is sent when a test says so: before each an environment can stand still."""

    patience_s = 0.0

    def __init__(self, store: CircuitStore) -> None:
        self.request: Request | None = None
        self._store = store
        self._learn: Learn = lambda _request, _answer: None

    def exchange(self, first: First, learn: Learn, within_s: float) -> float:
        """See StoreClient.exchange. Nobody waits."""
        if self.request is None:
            self.request, self._learn = first(), learn
        return 0.0

    def run_request(self) -> None:
        """Send the request, and hand in its answer."""
        if self.request is not None:
            self.request = self._learn(self.request, send(self.request, self._store))

    def lose(self, *, made: bool) -> None:
        """Lose the answer to the request, which was `made` or not."""
        if self.request is not None:
            if made:
                send(self.request, self._store)
            self.request = self._learn(self.request, StoreUnavailable("ReadTimeoutError"))

    def finish(self) -> None:
        """Send all that is left."""
        while self.request is not None:
            self.run_request()
