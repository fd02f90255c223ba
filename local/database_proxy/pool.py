"""The server connections of a proxy: a limited number, borrowed in the order of the requests.

A connection is borrowed only when nothing of its former client can be left in it: all answers were read, no message is
half received, no CancelRequest is on its way to it. A connection that sends something while it is idle is closed. A
connection that was ended counts until the server has closed its end too, so PostgreSQL never sees more than
`max_connections`.
"""

import asyncio
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from typing import Protocol

from local.database_proxy.framing import build_fatal_error
from local.database_proxy.server import ConnectionRejected, ConnectionUser, PoolKey, ServerConnection
from local.database_proxy.statistics import ProxyStatistics

# SQLSTATE and message are RDS Proxy's. That it is FATAL and closes the connection is assumed.
BORROW_TIMEOUT = build_fatal_error("08000", "Timed-out waiting to acquire database connection")
# While the database is unreachable or full, RDS Proxy retries for its clients until their borrow timeout.
PASSING = frozenset({"57P01", "57P02", "57P03", "53300"})
TRY_AGAIN_S = 0.05
# RDS Proxy closes idle connections above MaxIdleConnectionsPercent, by default half of MaxConnectionsPercent. The idle
# time is not documented; this one is assumed.
IDLE_SHARE = 0.5
IDLE_S = 10.0
LEAST_WATCH_S = 1.0
# A backend notices that its client is gone when its statement ends: for the functions' role within 10 s.
LEAVE_S = 15.0


class WaitingClient(ConnectionUser, Protocol):
    """A client that asks for a connection."""

    def accept_connection(self, server: ServerConnection) -> None:
        """Take the connection that was asked for."""
        ...

    def reject_connection(self, error: bytes) -> None:
        """Handle that there is none; `error` is the ErrorResponse with the reason."""
        ...


@dataclass(eq=False)
class _QueuedClient:
    client: WaitingClient
    key: PoolKey
    timer: asyncio.TimerHandle
    since: float  # the event loop's time


@dataclass(eq=False)
class _PendingConnection:
    key: PoolKey
    task: asyncio.Task[None] | None = None


class ConnectionPool:
    """At most `max_connections` server connections in all, as RDS Proxy counts MaxConnectionsPercent."""

    def __init__(self, target: int, *, max_connections: int, borrow_timeout_s: float, counts: ProxyStatistics) -> None:
        self.target = target
        self.max_connections = max_connections
        self.known_settings: dict[PoolKey, dict[str, str]] = {}  # the settings that clients are sent when they connect
        self._borrow_timeout_s = borrow_timeout_s
        self._counts = counts
        self._idle: defaultdict[PoolKey, list[ServerConnection]] = defaultdict(list)
        self._borrowed: set[ServerConnection] = set()
        self._asked: set[ServerConnection] = set()  # borrowed by the proxy itself
        self._leaving: dict[ServerConnection, asyncio.TimerHandle] = {}
        self._waiting: deque[_QueuedClient] = deque()
        self._opening: set[_PendingConnection] = set()
        self._idle_timer: asyncio.TimerHandle | None = None

    def borrow(self, client: WaitingClient, key: PoolKey) -> None:
        """Ask for a connection: `accept_connection` or `reject_connection` is called, now or later."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._borrow_timeout_s, self._reject_after_timeout, client)
        self._waiting.append(_QueuedClient(client, key, timer, loop.time()))
        self._serve()

    def stop_waiting(self, client: WaitingClient) -> None:
        """Drop a client that no longer waits for a connection."""
        for waiter in [w for w in self._waiting if w.client is client]:
            self._remove_waiting(waiter)
        self._serve()

    def return_connection(self, server: ServerConnection) -> None:
        """Take back a connection whose client has read all its answers."""
        self._take_back(server)
        self._keep(server)
        self._serve()

    def discard(self, server: ServerConnection) -> None:
        """Take back a connection and close it."""
        self._take_back(server)
        self._retire(server)
        self._serve()

    def list_idle(self) -> list[ServerConnection]:
        """Return the connections that are not borrowed."""
        return [server for servers in self._idle.values() for server in servers]

    async def ask_idle(self, text: str) -> list[str]:
        """Return the first column of a query's rows from every idle connection; none is borrowed meanwhile."""
        return [answer for server in self.list_idle() for answer in await self._ask(server, text)]

    def set_limit(self, max_connections: int) -> None:
        """Change the limit: close idle connections above it now, borrowed ones when they are returned."""
        self.max_connections = max_connections
        while self._kept_count > max_connections and self._make_room():
            pass
        self._serve()

    @property
    def open_count(self) -> int:
        """Return how many connections are open to the server, borrowed or idle."""
        return len(self._borrowed) + len(self._asked) + len(self.list_idle())

    def refresh(self) -> None:
        """Close idle connections now, and borrowed ones when they are returned: later clients get new sessions."""
        self.known_settings.clear()
        for server in self._borrowed:
            server.prevent_reuse()
        while self._make_room():
            pass
        self._serve()

    def retarget(self, target: int) -> None:
        """Use another server from now on; drop the connections to the former one, which no longer count."""
        self.target = target
        self._drop_all()
        self._serve()

    def close(self) -> None:
        """Close everything."""
        for waiter in list(self._waiting):
            self._remove_waiting(waiter)
        self._drop_all()

    def _drop_all(self) -> None:
        """Close all connections; a borrowed one stays with its client until the client notices."""
        for opening in self._opening:
            if opening.task is not None:
                opening.task.cancel()
        self._opening.clear()
        for server in [*self._borrowed, *self._asked, *self._leaving, *self.list_idle()]:
            server.close()
        for timer in self._leaving.values():
            timer.cancel()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        self._leaving.clear()
        self._idle.clear()
        self.known_settings.clear()

    async def _ask(self, server: ServerConnection, text: str) -> list[str]:
        if not (self._is_idle(server) and server.is_reusable):  # borrowed or lost since the list was made
            return []
        self._idle[server.key].remove(server)
        self._asked.add(server)
        try:
            return await server.ask(text)
        except ConnectionError:
            return []
        finally:
            self._asked.discard(server)
            self._keep(server)
            self._serve()

    def _is_idle(self, server: ServerConnection) -> bool:
        return server in self._idle[server.key]

    def _take_back(self, server: ServerConnection) -> None:
        server.borrower = None
        if server in self._borrowed:
            self._borrowed.remove(server)
            self._counts.borrowed -= 1

    def _keep(self, server: ServerConnection) -> None:
        """Make a free connection idle if it is reusable and within the limit; else end it."""
        if server.is_reusable and self._kept_count < self.max_connections:
            self._idle[server.key].append(server)
            server.idle_since = asyncio.get_running_loop().time()
            self._watch_idle()
        else:
            self._retire(server)

    def _watch_idle(self) -> None:
        """Schedule the closing of surplus idle connections for when the oldest has been idle long enough."""
        if self._idle_timer is None and len(self.list_idle()) > self.max_connections * IDLE_SHARE:
            loop = asyncio.get_running_loop()
            due = min(server.idle_since for server in self.list_idle()) + IDLE_S
            self._idle_timer = loop.call_at(max(due, loop.time() + LEAST_WATCH_S), self._close_surplus)

    def _close_surplus(self) -> None:
        self._idle_timer = None
        latest = asyncio.get_running_loop().time() - IDLE_S
        surplus = len(self.list_idle()) - int(self.max_connections * IDLE_SHARE)
        for server in self._list_longest_idle(max(0, surplus)):
            if server.idle_since <= latest:
                self._close_idle(server)
        self._watch_idle()
        self._serve()

    def _retire(self, server: ServerConnection) -> None:
        if not server.is_closed:
            self._leaving[server] = asyncio.get_running_loop().call_later(LEAVE_S, server.close)
            server.end_session()

    def _serve(self) -> None:
        while self._serve_one():
            pass
        self._counts.count_waiting(max(0, len(self._waiting) - len(self._opening)))
        self._counts.note_open(self._size)

    def _serve_one(self) -> bool:
        """Do the next step for the waiting clients, in order; return False if nothing can be done now."""
        under_way = Counter(opening.key for opening in self._opening)
        for waiter in self._waiting:
            server = next((each for each in reversed(self._idle[waiter.key]) if each.is_reusable), None)
            if server is not None:
                self._grant(waiter, server)
                return True
            if under_way[waiter.key] > 0:
                under_way[waiter.key] -= 1
            elif self._size < self.max_connections:
                self._open_for(waiter.key)
                return True
            else:
                return not self._leaving and self._make_room()
        return False

    @property
    def _kept_count(self) -> int:
        return self.open_count + len(self._opening)

    @property
    def _size(self) -> int:
        return self._kept_count + len(self._leaving)

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, of any key; return False if none is idle."""
        for server in self._list_longest_idle(1):
            self._close_idle(server)
            return True
        return False

    def _list_longest_idle(self, count: int) -> list[ServerConnection]:
        return sorted(self.list_idle(), key=lambda server: server.idle_since)[:count]

    def _close_idle(self, server: ServerConnection) -> None:
        self._idle[server.key].remove(server)
        self._retire(server)

    def _grant(self, waiter: _QueuedClient, server: ServerConnection) -> None:
        self._remove_waiting(waiter)
        self._idle[server.key].remove(server)
        self._borrowed.add(server)
        self._counts.count_borrowed(asyncio.get_running_loop().time() - waiter.since)
        server.borrower = waiter.client
        waiter.client.accept_connection(server)

    def _open_for(self, key: PoolKey) -> None:
        opening = _PendingConnection(key)
        self._opening.add(opening)
        opening.task = asyncio.get_running_loop().create_task(self._open(opening))

    async def _open(self, opening: _PendingConnection) -> None:
        """Open a connection for the client that waits longest; it becomes idle if no client waits any more."""
        try:
            server = await self._connect(opening.key)
        except ConnectionRejected as refusal:
            self._opening.discard(opening)
            self._refuse(opening.key, refusal.raw)
        else:
            self._opening.discard(opening)
            if server is not None:
                self.known_settings[server.key] = dict(server.parameters)
                self._keep(server)
        self._serve()

    async def _connect(self, key: PoolKey) -> ServerConnection | None:
        """Try until there is a connection; return None if fewer clients wait than connections are being opened."""
        loop = asyncio.get_running_loop()
        while self._is_wanted(key):
            try:
                _, server = await loop.create_connection(
                    lambda: ServerConnection(key, self._forget_lost), "127.0.0.1", self.target
                )
            except OSError:
                await asyncio.sleep(TRY_AGAIN_S)
                continue
            if await _is_ready(server):
                return server
            await asyncio.sleep(TRY_AGAIN_S)
        return None

    def _is_wanted(self, key: PoolKey) -> bool:
        return sum(w.key == key for w in self._waiting) >= sum(o.key == key for o in self._opening)

    def _refuse(self, key: PoolKey, error: bytes) -> None:
        """Reject the client that waits longest for such a connection, with the server's error."""
        waiter = next((w for w in self._waiting if w.key == key), None)
        if waiter is not None:
            self._remove_waiting(waiter)
            waiter.client.reject_connection(error)

    def _forget_lost(self, server: ServerConnection) -> None:
        """Forget a connection that is closed, or end one that sent something unsolicited."""
        if self._is_idle(server):
            self._idle[server.key].remove(server)
            self._retire(server)
        if server.is_closed and server in self._leaving:
            self._leaving.pop(server).cancel()
        self._serve()

    def _reject_after_timeout(self, client: WaitingClient) -> None:
        self._counts.borrow_timeouts += 1
        self.stop_waiting(client)
        client.reject_connection(BORROW_TIMEOUT)

    def _remove_waiting(self, waiter: _QueuedClient) -> None:
        self._waiting.remove(waiter)
        waiter.timer.cancel()


async def _is_ready(server: ServerConnection) -> bool:
    """Return whether the connection is usable; False if a retry may help. Raise ConnectionRejected if none would."""
    try:
        await server.ready
    except OSError:
        return False
    except ConnectionRejected as refusal:
        server.close()
        if refusal.sqlstate not in PASSING:
            raise
        return False
    except asyncio.CancelledError:
        server.close()
        raise
    return True
