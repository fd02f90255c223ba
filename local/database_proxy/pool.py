"""The server connections of a proxy: at most so many, lent first come first served.

A connection is lent only when nothing of its former client can be left in it: all answers were read, nothing is half
received, no CancelRequest is on its way to it. One that says something while nobody has it is closed. One that is left
counts until the server has closed its end too, so that PostgreSQL never sees more than `max_connections`.
"""

import asyncio
from collections import Counter, defaultdict, deque
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
# RDS Proxy closes idle connections above MaxIdleConnectionsPercent, by default half of MaxConnectionsPercent. After how
# long is not documented: assumed.
IDLE_SHARE = 0.5
IDLE_S = 10.0
LEAST_WATCH_S = 1.0
# A backend sees that its client has left when its statement has ended: for the functions' role within 10 s.
LEAVE_S = 15.0


class Guest(Borrower, Protocol):
    """A client that asks for a connection."""

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
    timer: asyncio.TimerHandle


@dataclass(eq=False)
class _Opening:
    key: Key
    task: asyncio.Task[None] | None = None


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
        self._asked: set[ServerConnection] = set()  # by the proxy itself
        self._leaving: dict[ServerConnection, asyncio.TimerHandle] = {}
        self._waiting: deque[_Waiter] = deque()
        self._opening: set[_Opening] = set()
        self._idle_timer: asyncio.TimerHandle | None = None

    def borrow(self, guest: Guest, key: Key) -> None:
        """Ask for a connection: the guest is `granted` or `refused`, at once or later."""
        timer = asyncio.get_running_loop().call_later(self._borrow_timeout_s, self._time_out, guest)
        self._waiting.append(_Waiter(guest, key, timer))
        self._serve()

    def forget(self, guest: Guest) -> None:
        """The guest no longer wants one."""
        for waiter in [w for w in self._waiting if w.guest is guest]:
            self._dismiss(waiter)
        self._serve()

    def give_back(self, server: ServerConnection) -> None:
        """Take back a connection whose client has read all its answers."""
        self._take_back(server)
        self._keep(server)
        self._serve()

    def discard(self, server: ServerConnection) -> None:
        """Take back a connection that nobody shall have any more."""
        self._take_back(server)
        self._retire(server)
        self._serve()

    def idle(self) -> list[ServerConnection]:
        """Those that nobody has."""
        return [server for servers in self._idle.values() for server in servers]

    async def ask_idle(self, text: str) -> list[str]:
        """Return the first column of a query's answers from every idle connection, none of which is lent meanwhile."""
        return [answer for server in self.idle() for answer in await self._ask(server, text)]

    def limit(self, max_connections: int) -> None:
        """At most so many from now on: of those above it the idle are closed now, the lent when they are given back."""
        self.max_connections = max_connections
        while self._kept > max_connections and self._make_room():
            pass
        self._serve()

    @property
    def open(self) -> int:
        """Return how many are open to the server, borrowed or idle."""
        return len(self._lent) + len(self._asked) + len(self.idle())

    def refresh(self) -> None:
        """Close what nobody has now, and the rest when it is given back: who comes next gets a new session."""
        self.known.clear()
        for server in self._lent:
            server.distrust()
        while self._make_room():
            pass
        self._serve()

    def retarget(self, target: int) -> None:
        """Lead to another server from now on; nothing more is heard of the former one, and its sessions don't count."""
        self.target = target
        self._drop_all()
        self._serve()

    def close(self) -> None:
        """Close everything."""
        for waiter in list(self._waiting):
            self._dismiss(waiter)
        self._drop_all()

    def _drop_all(self) -> None:
        """Hang up on the server; lent connections stay with their clients until those notice."""
        for opening in self._opening:
            if opening.task is not None:
                opening.task.cancel()
        self._opening.clear()
        for server in [*self._lent, *self._asked, *self._leaving, *self.idle()]:
            server.close()
        for timer in self._leaving.values():
            timer.cancel()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        self._leaving.clear()
        self._idle.clear()
        self.known.clear()

    async def _ask(self, server: ServerConnection, text: str) -> list[str]:
        if not (self._is_idle(server) and server.is_reusable):  # lent or lost since the list was made
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
        if server in self._lent:
            self._lent.remove(server)
            self._counts.borrowed -= 1

    def _keep(self, server: ServerConnection) -> None:
        """Make a free connection idle where it may be lent again and is not one too many."""
        if server.is_reusable and self._kept < self.max_connections:
            self._idle[server.key].append(server)
            server.idle_since = asyncio.get_running_loop().time()
            self._watch_idle()
        else:
            self._retire(server)

    def _watch_idle(self) -> None:
        """See that surplus idle connections are closed once the oldest has been idle long enough."""
        if self._idle_timer is None and len(self.idle()) > self.max_connections * IDLE_SHARE:
            loop = asyncio.get_running_loop()
            due = min(server.idle_since for server in self.idle()) + IDLE_S
            self._idle_timer = loop.call_at(max(due, loop.time() + LEAST_WATCH_S), self._close_surplus)

    def _close_surplus(self) -> None:
        self._idle_timer = None
        latest = asyncio.get_running_loop().time() - IDLE_S
        surplus = len(self.idle()) - int(self.max_connections * IDLE_SHARE)
        for server in self._longest_idle(max(0, surplus)):
            if server.idle_since <= latest:
                self._close_idle(server)
        self._watch_idle()
        self._serve()

    def _retire(self, server: ServerConnection) -> None:
        if not server.closed:
            self._leaving[server] = asyncio.get_running_loop().call_later(LEAVE_S, server.close)
            server.leave()

    def _serve(self) -> None:
        while self._serve_one():
            pass
        self._counts.queue(max(0, len(self._waiting) - len(self._opening)))
        self._counts.note_open(self._size)

    def _serve_one(self) -> bool:
        """Do the next thing for who waits, in the order of coming; False where nothing can be done now."""
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
    def _kept(self) -> int:
        return self.open + len(self._opening)

    @property
    def _size(self) -> int:
        return self._kept + len(self._leaving)

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, whoever had it; return False where none is idle."""
        for server in self._longest_idle(1):
            self._close_idle(server)
            return True
        return False

    def _longest_idle(self, count: int) -> list[ServerConnection]:
        return sorted(self.idle(), key=lambda server: server.idle_since)[:count]

    def _close_idle(self, server: ServerConnection) -> None:
        self._idle[server.key].remove(server)
        self._retire(server)

    def _grant(self, waiter: _Waiter, server: ServerConnection) -> None:
        self._dismiss(waiter)
        self._idle[server.key].remove(server)
        self._lent.add(server)
        self._counts.lend()
        server.borrower = waiter.guest
        waiter.guest.granted(server)

    def _open_for(self, key: Key) -> None:
        opening = _Opening(key)
        self._opening.add(opening)
        opening.task = asyncio.get_running_loop().create_task(self._open(opening))

    async def _open(self, opening: _Opening) -> None:
        """Open a connection for whoever waits longest; it becomes idle where nobody waits any more."""
        try:
            server = await self._connect(opening.key)
        except Refused as refusal:
            self._opening.discard(opening)
            self._refuse(opening.key, refusal.raw)
        else:
            self._opening.discard(opening)
            if server is not None:
                self.known[server.key] = dict(server.parameters)
                self._keep(server)
        self._serve()

    async def _connect(self, key: Key) -> ServerConnection | None:
        """Try until there is a connection; None where fewer wait than connections are opened for them."""
        loop = asyncio.get_running_loop()
        while self._is_wanted(key):
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
        return None

    def _is_wanted(self, key: Key) -> bool:
        return sum(w.key == key for w in self._waiting) >= sum(o.key == key for o in self._opening)

    def _refuse(self, key: Key, error: bytes) -> None:
        """Tell who waits longest for such a connection that the server turned it down."""
        waiter = next((w for w in self._waiting if w.key == key), None)
        if waiter is not None:
            self._dismiss(waiter)
            waiter.guest.refused(error)

    def _lost(self, server: ServerConnection) -> None:
        """Forget a connection that is closed, or close one that spoke unasked."""
        if self._is_idle(server):
            self._idle[server.key].remove(server)
            self._retire(server)
        if server.closed and server in self._leaving:
            self._leaving.pop(server).cancel()
        self._serve()

    def _time_out(self, guest: Guest) -> None:
        self._counts.borrow_timeouts += 1
        self.forget(guest)
        guest.refused(BORROW_TIMEOUT)

    def _dismiss(self, waiter: _Waiter) -> None:
        self._waiting.remove(waiter)
        waiter.timer.cancel()


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
