"""The server connections of a proxy: at most so many, lent first come first served."""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Protocol

from local.database_proxy.counts import Counts
from local.database_proxy.framing import fatal
from local.database_proxy.server import Borrower, Key, Refused, ServerConnection

# SQLSTATE and message are RDS Proxy's. That it is FATAL and that the line is closed are assumed.
BORROW_TIMEOUT = fatal("08000", "Timed-out waiting to acquire database connection")
# While the database is away or full RDS Proxy goes on trying for its clients, until their borrow timeout.
PASSING = frozenset({"57P01", "57P02", "57P03", "53300"})
TRY_AGAIN_S = 0.05


class Guest(Borrower, Protocol):
    """Who asks for a connection."""

    def granted(self, server: ServerConnection) -> None:
        """Here it is."""
        ...

    def refused(self, error: bytes) -> None:
        """There is none: the ErrorResponse that says why."""
        ...


@dataclass(eq=False)
class _Waiter:
    guest: Guest
    key: Key
    timer: asyncio.TimerHandle | None = None
    opening: asyncio.Task[None] | None = None


class Pool:
    """All server connections together are at most `max_connections`: so RDS Proxy's MaxConnectionsPercent counts."""

    def __init__(self, target: int, *, max_connections: int, borrow_timeout_s: float, counts: Counts) -> None:
        self.target = target
        self.max_connections = max_connections
        self.known: dict[Key, dict[str, str]] = {}  # the settings that clients are told of when they connect
        self._borrow_timeout_s = borrow_timeout_s
        self._counts = counts
        self._idle: defaultdict[Key, list[ServerConnection]] = defaultdict(list)
        self._lent: set[ServerConnection] = set()
        self._waiting: deque[_Waiter] = deque()
        self._opening: set[_Waiter] = set()

    def borrow(self, guest: Guest, key: Key) -> None:
        """Ask for a connection: the guest is `granted` or `refused`, at once or later."""
        waiter = _Waiter(guest, key)
        waiter.timer = asyncio.get_running_loop().call_later(self._borrow_timeout_s, self._time_out, waiter)
        self._waiting.append(waiter)
        self._serve()

    def forget(self, guest: Guest) -> None:
        """The guest no longer wants one."""
        for waiter in [w for w in (*self._waiting, *self._opening) if w.guest is guest]:
            self._dismiss(waiter)
        self._serve()

    def give_back(self, server: ServerConnection) -> None:
        """It is free again."""
        self._take_back(server)
        if server.closed or self._is_full():
            server.close()
        else:
            self._idle[server.key].append(server)
        self._serve()

    def discard(self, server: ServerConnection) -> None:
        """Nobody shall have it any more."""
        self._take_back(server)
        server.close()
        self._serve()

    def idle(self) -> list[ServerConnection]:
        """Those that nobody has."""
        return [server for servers in self._idle.values() for server in servers]

    def limit(self, max_connections: int) -> None:
        """At most so many from now on: of those above it the idle are closed now, the lent when they are given back."""
        self.max_connections = max_connections
        while self._size > max_connections and self._make_room():
            pass
        self._serve()

    @property
    def open(self) -> int:
        """How many are open to the server, lent or idle."""
        return len(self._lent) + len(self.idle())

    def refresh(self) -> None:
        """Close what nobody has: who comes next gets a new session."""
        idle = self.idle()
        self._idle.clear()
        self.known.clear()
        for server in idle:
            server.close()
        self._serve()

    def retarget(self, target: int) -> None:
        """Lead to another server from now on; nothing more is heard of the former one."""
        self.target = target
        for server in self._lent:
            server.close()
        for waiter in self._opening:
            _stop(waiter.opening)
            self._open_for(waiter)
        self.refresh()

    def close(self) -> None:
        """Close everything."""
        for waiter in [*self._waiting, *self._opening]:
            self._dismiss(waiter)
        self.refresh()
        for server in self._lent:
            server.close()

    def _take_back(self, server: ServerConnection) -> None:
        server.borrower = None
        if server in self._lent:
            self._lent.remove(server)
            self._counts.borrowed -= 1

    def _serve(self) -> None:
        while self._waiting:
            waiter = self._waiting[0]
            idle = self._idle[waiter.key]
            if not idle and self._is_full() and not self._make_room():
                break
            self._waiting.popleft()
            if idle:
                self._grant(waiter, idle.pop())
            else:
                self._open_for(waiter)
        self._counts.queue(len(self._waiting))

    @property
    def _size(self) -> int:
        return self.open + len(self._opening)

    def _is_full(self) -> bool:
        return self._size >= self.max_connections

    def _make_room(self) -> bool:
        """Closes the connection of other clients that has been idle longest, if there is any."""
        idle = self.idle()
        if not idle:
            return False
        self._idle[idle[0].key].remove(idle[0])
        idle[0].close()
        return True

    def _grant(self, waiter: _Waiter, server: ServerConnection) -> None:
        _stop(waiter.timer)
        self._lent.add(server)
        self._counts.lend()
        server.borrower = waiter.guest
        waiter.guest.granted(server)

    def _open_for(self, waiter: _Waiter) -> None:
        self._opening.add(waiter)
        waiter.opening = asyncio.get_running_loop().create_task(self._open(waiter))

    async def _open(self, waiter: _Waiter) -> None:
        try:
            server = await self._connect(waiter.key)
        except Refused as refusal:
            self._dismiss(waiter)
            waiter.guest.refused(refusal.raw)
            self._serve()
        else:
            self._opening.discard(waiter)
            self.known[server.key] = dict(server.parameters)
            self._grant(waiter, server)

    async def _connect(self, key: Key) -> ServerConnection:
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, server = await loop.create_connection(
                    lambda: ServerConnection(key, self._lost), "127.0.0.1", self.target
                )
            except OSError:
                await asyncio.sleep(TRY_AGAIN_S)
                continue
            if await _is_ready(server):
                return server
            await asyncio.sleep(TRY_AGAIN_S)

    def _lost(self, server: ServerConnection) -> None:
        if server in self._idle[server.key]:
            self._idle[server.key].remove(server)
        self._serve()

    def _time_out(self, waiter: _Waiter) -> None:
        self._counts.borrow_timeouts += 1
        self._dismiss(waiter)
        waiter.guest.refused(BORROW_TIMEOUT)
        self._serve()

    def _dismiss(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        self._opening.discard(waiter)
        _stop(waiter.timer)
        _stop(waiter.opening)


def _stop(under_way: asyncio.TimerHandle | asyncio.Task[None] | None) -> None:
    if under_way is not None:
        under_way.cancel()


async def _is_ready(server: ServerConnection) -> bool:
    """Whether it can be used; not where that may pass. Raises Refused where it will not."""
    try:
        await server.ready
    except OSError:
        return False
    except Refused as refusal:
        server.close()
        if refusal.sqlstate not in PASSING:
            raise
        return False
    except asyncio.CancelledError:
        server.close()
        raise
    return True
