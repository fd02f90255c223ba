"""The state of the mail rate, in memory."""

from dataclasses import dataclass, field
from threading import Lock

from shared.circuit.store import StoreUnavailable
from worker.priority_pacing import PacingState, StoreReply


@dataclass
class InMemoryPacingStore:
    """Does what the fleet's store does; `reachable = False` takes it away."""

    state: PacingState = field(default_factory=PacingState)
    reachable: bool = True

    def __post_init__(self) -> None:
        self._lock = Lock()

    def read(self) -> PacingState:
        """See PacingStore.read."""
        self._check_reachable()
        return self.state

    def write(self, seen: PacingState, to: PacingState) -> StoreReply:
        """See PacingStore.write."""
        with self._lock:
            self._check_reachable()
            written = (seen.version, seen.tat) == (self.state.version, self.state.tat)
            self.state = to if written else self.state
            return StoreReply(self.state, written)

    def _check_reachable(self) -> None:
        if not self.reachable:
            raise StoreUnavailable("Unreachable")
