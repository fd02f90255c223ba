"""What a proxy has seen. Written by its thread alone, read by any."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class ProxyStatistics:
    """Numbers since the start, or since `reset`; `clients`, `borrowed` and `waiting` are those of this moment."""

    clients: int = 0
    transactions: int = 0
    round_trips: int = 0  # what a client waits for: Syncs, and queries of the simple protocol
    borrowed: int = 0
    borrowed_max: int = 0
    waiting: int = 0  # transactions queued for a server connection, all of them being lent
    waiting_max: int = 0
    borrow_timeouts: int = 0
    open_max: int = 0  # server connections at the peak: idle, borrowed, being opened, and left but not yet closed
    pins: Counter[str] = field(default_factory=Counter)  # sessions, by the reason that pinned them
    state: Counter[str] = field(default_factory=Counter)  # settings that a transaction left changed

    def count_borrowed(self) -> None:
        """A server connection was lent."""
        self.borrowed += 1
        self.borrowed_max = max(self.borrowed_max, self.borrowed)

    def note_open(self, number: int) -> None:
        """Keep the highest number of server connections."""
        self.open_max = max(self.open_max, number)

    def count_waiting(self, waiting: int) -> None:
        """So many wait now."""
        self.waiting = waiting
        self.waiting_max = max(self.waiting_max, waiting)

    def reset(self) -> None:
        """Count anew: totals from 0, maxima from what is now."""
        self.transactions = self.round_trips = self.borrow_timeouts = 0
        self.borrowed_max, self.waiting_max = self.borrowed, self.waiting
        self.pins.clear()
        self.state.clear()
