"""What can be wrong with the line between a client and the proxy, switched while it runs.

Set from any thread: each is a single assignment, and the proxy's thread looks at it with every piece that arrives.
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
    """Ends a line once `after` bytes have passed in one direction, counted from when it was asked for.

    0 lets nothing of the next piece pass. `left` lines are still to be cut (None: every one), `done` were.
    """

    direction: Direction
    after: int
    left: int | None
    done: int = 0

    @property
    def is_armed(self) -> bool:
        """Whether there is still something to cut."""
        return self.left is None or self.left > 0

    def count(self) -> None:
        """A line was cut."""
        self.done += 1
        if self.left is not None:
            self.left -= 1


class ConnectionFaults:
    """None at first."""

    def __init__(self) -> None:
        self.cutting: ConnectionCut | None = None
        self.delays: dict[Direction, float] = {}
        self.holes: frozenset[Direction] = frozenset()

    @contextmanager
    def cut(self, direction: Direction, after: int, *, connections: int | None = 1) -> Iterator[ConnectionCut]:
        """Within the block: cut the next `lines` that move that many bytes (None: every one)."""
        cut = self.cutting = ConnectionCut(direction, after, connections)
        try:
            yield cut
        finally:
            self.cutting = None

    @contextmanager
    def delay_data(self, seconds: float, *directions: Direction) -> Iterator[None]:
        """Within the block: everything arrives that much later, in both directions if none is named."""
        self.delays = dict.fromkeys(directions or BOTH, seconds)
        try:
            yield
        finally:
            self.delays = {}

    @contextmanager
    def discard_data(self, *directions: Direction) -> Iterator[None]:
        """Within the block: what is sent is acknowledged and lost, also of those who connect. No direction named: both.

        A line that has lost something stays silent for good, as its two ends no longer agree.
        """
        self.holes = frozenset(directions or BOTH)
        try:
            yield
        finally:
            self.holes = frozenset()


class FaultyStream:
    """One direction of one client's line. `deliver` gets what passes, `cut` is called when the line ends here."""

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
        """Pass a piece on, as the faults have it."""
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
        """Close the line after what is still under way on it."""
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
