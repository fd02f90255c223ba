"""The state of the mails' rate, in memory."""

from dataclasses import dataclass, field
from threading import Lock

from shared.circuit.store import StoreUnavailable
from worker.priority_pacing import PaceState, Stored


@dataclass
class InMemoryPaceStore:
    """Does what the fleet's store does; `reachable = False` takes it away."""

    state: PaceState = field(default_factory=PaceState)
    reachable: bool = True

    def __post_init__(self) -> None:
        self._lock = Lock()

    def read(self) -> PaceState:
        """See PaceStore.read."""
        self._reach()
        return self.state

    def write(self, seen: PaceState, to: PaceState) -> Stored:
        """See PaceStore.write."""
        with self._lock:
            self._reach()
            written = (seen.version, seen.tat) == (self.state.version, self.state.tat)
            self.state = to if written else self.state
            return Stored(self.state, written)

    def _reach(self) -> None:
        if not self.reachable:
            raise StoreUnavailable("Unreachable")
