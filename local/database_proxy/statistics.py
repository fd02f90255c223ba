"""Counters of a proxy. Only the proxy's thread writes them; any thread may read them."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class ProxyStatistics:
    """The counts since the start or the last `reset`; `clients`, `borrowed` and `waiting` are the present numbers."""

    clients: int = 0
    transactions: int = 0
    round_trips: int = 0  # Syncs, and queries of the simple protocol: each makes the client wait once
    borrowed: int = 0
    borrowed_max: int = 0
    waiting: int = 0  # transactions queued for a server connection because all are borrowed
    waiting_max: int = 0
    borrows: int = 0
    borrow_wait_s: float = 0.0  # from the request of a server connection until it was there, of all borrows together
    borrow_timeouts: int = 0
    open_max: int = 0  # peak of server connections: idle, borrowed, being opened, and ended but not yet closed
    pins: Counter[str] = field(default_factory=Counter)  # sessions, by the reason for pinning
    # Settings, by name: how often the server reported a new value to a client, back to the old one included.
    changed_settings: Counter[str] = field(default_factory=Counter)

    def count_borrowed(self, waited_s: float) -> None:
        """Count a server connection that was borrowed."""
        self.borrowed += 1
        self.borrows += 1
        self.borrow_wait_s += waited_s
        self.borrowed_max = max(self.borrowed_max, self.borrowed)

    def note_open(self, number: int) -> None:
        """Keep the highest number of open server connections."""
        self.open_max = max(self.open_max, number)

    def count_waiting(self, waiting: int) -> None:
        """Note how many transactions are waiting now."""
        self.waiting = waiting
        self.waiting_max = max(self.waiting_max, waiting)

    def reset(self) -> None:
        """Restart totals at 0 and maxima at the present values."""
        self.transactions = self.round_trips = self.borrow_timeouts = self.borrows = 0
        self.borrow_wait_s = 0.0
        self.borrowed_max, self.waiting_max = self.borrowed, self.waiting
        self.pins.clear()
        self.changed_settings.clear()
