"""Faults on the connections between clients and the proxy, switched while it runs.

They may be set from any thread: each is a single assignment, and the proxy's thread reads it with every piece of data.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Direction = Literal["to_server", "to_client"]
BOTH: tuple[Direction, ...] = ("to_server", "to_client")


@dataclass(eq=False)
class ConnectionCut:
    """A fault that closes connections after `after` bytes in one direction, counted from when the cut was requested.

    With 0 nothing of the next piece passes. `left` connections are still to be cut (None: all), `done` were cut.
    """

    direction: Direction
    after: int
    left: int | None
    done: int = 0

    @property
    def is_armed(self) -> bool:
        """Return whether there are connections left to cut."""
        return self.left is None or self.left > 0

    def count(self) -> None:
        """Count a connection that was cut."""
        self.done += 1
        if self.left is not None:
            self.left -= 1


class ConnectionFaults:
    """The faults in force; none at first."""

    def __init__(self) -> None:
        self.cutting: ConnectionCut | None = None
        self.delays: dict[Direction, float] = {}
        self.holes: frozenset[Direction] = frozenset()

    @contextmanager
    def cut(self, direction: Direction, after: int, *, connections: int | None = 1) -> Iterator[ConnectionCut]:
        """Cut the next `connections` that transfer `after` bytes within the block (None: all)."""
        cut = self.cutting = ConnectionCut(direction, after, connections)
        try:
            yield cut
        finally:
            self.cutting = None

    @contextmanager
    def delay_data(self, seconds: float, *directions: Direction) -> Iterator[None]:
        """Delay all data by `seconds` within the block, in both directions if none is named."""
        self.delays = dict.fromkeys(directions or BOTH, seconds)
        try:
            yield
        finally:
            self.delays = {}

    @contextmanager
    def discard_data(self, *directions: Direction) -> Iterator[None]:
        """Acknowledge and discard data within the block, of new clients too; in both directions if none is named.

        A connection that has lost data stays silent for good, as its two ends no longer agree.
        """
        self.holes = frozenset(directions or BOTH)
        try:
            yield
        finally:
            self.holes = frozenset()


class FaultyStream:
    """One direction of a client's connection. It calls `deliver` with data, and `cut` when a fault ends it."""

    def __init__(
        self,
        faults: ConnectionFaults,
        direction: Direction,
        *,
        deliver: Callable[[bytes], None],
        cut: Callable[[], None],
    ) -> None:
        self._faults = faults
        self._direction = direction
        self._deliver = deliver
        self._cut = cut
        self._passed_since: tuple[ConnectionCut | None, int] = (None, 0)
        self._silent = False
        self._late: deque[tuple[float, Callable[[], None]]] = deque()

    def feed(self, data: bytes) -> None:
        """Deliver, delay, discard or cut a piece of data, as the faults say."""
        faults = self._faults
        if self._direction in faults.holes:
            self._silent = True
        if self._silent:
            return
        if faults.cutting is None:
            self._pass(data)
        else:
            self._pass_until(faults.cutting, data)

    def end(self, close: Callable[[], None]) -> None:
        """Call `close` after the data that is still delayed."""
        self._run_in_order(close)

    def _pass_until(self, cut: ConnectionCut, data: bytes) -> None:
        armed, passed = self._passed_since
        passed = passed if armed is cut else 0
        self._passed_since = (cut, passed + len(data))
        if cut.direction != self._direction or not cut.is_armed or passed + len(data) < cut.after:
            self._pass(data)
            return
        cut.count()
        self._pass(data[: cut.after - passed])
        self._silent = True
        self._run_in_order(self._cut)

    def _pass(self, data: bytes) -> None:
        if self._late or self._direction in self._faults.delays:
            self._run_in_order(lambda: self._deliver(data))
        elif data:
            self._deliver(data)

    def _run_in_order(self, action: Callable[[], None]) -> None:
        delay = self._faults.delays.get(self._direction, 0.0)
        if not self._late and not delay:
            action()
            return
        loop = asyncio.get_running_loop()
        due = max(loop.time() + delay, self._late[-1][0] if self._late else 0.0)
        self._late.append((due, action))
        if len(self._late) == 1:
            loop.call_at(due, self._run_next)

    def _run_next(self) -> None:
        self._late[0][1]()
        self._late.popleft()
        if self._late:
            asyncio.get_running_loop().call_at(self._late[0][0], self._run_next)
