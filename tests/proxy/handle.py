"""A PostgreSQL proxy that does what RDS Proxy does, in a thread of this process, on a loopback port.

    with running_proxy(5432, max_connections=10, borrow_timeout_s=2) as proxy:
        psycopg.connect(f"host=127.0.0.1 port={proxy.port} …")
        proxy.counts.pins, proxy.counts.borrowed_max
        with proxy.faults.cut("to_client", 17): …

Standard library only. What is known of RDS Proxy and what is assumed stands where it is done; docs/decisions/0010.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.proxy.counts import Counts
from tests.proxy.faults import Faults
from tests.proxy.pool import Pool
from tests.proxy.session import Desk, Traffic, factory

T = TypeVar("T")

CALL_S = 10.0  # for what is asked of the proxy's thread
BORROW_TIMEOUT_S = 120.0  # RDS Proxy's default

# Whatever a server session can keep of one client for the next: one row for each thing found.
SESSION_STATE = """
SELECT 'setting ' || name FROM pg_settings WHERE source = 'session'
UNION ALL SELECT 'prepared statement' FROM pg_prepared_statements
UNION ALL SELECT 'cursor' FROM pg_cursors WHERE name <> ''
UNION ALL SELECT 'channel' FROM pg_listening_channels()
UNION ALL SELECT 'advisory lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
UNION ALL SELECT 'temporary object' FROM pg_class WHERE relnamespace = pg_my_temp_schema()
"""


class Proxy:
    """A running proxy. `counts` may be read and `faults` be set from any thread."""

    def __init__(self, target: int, *, max_connections: int = 10, borrow_timeout_s: float = BORROW_TIMEOUT_S) -> None:
        self.counts = Counts()
        self.faults = Faults()
        self.port = 0
        self.crashes: list[str] = []  # of the proxy itself
        pool = Pool(target, max_connections=max_connections, borrow_timeout_s=borrow_timeout_s, counts=self.counts)
        self._desk = Desk(pool, self.counts, self.faults)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _loop, context: self.crashes.append(repr(context)))
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._thread.start()
        self._call(self._listen)

    def stop(self) -> None:
        """Hang up on everybody."""
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    @property
    def target(self) -> int:
        """The port of the server."""
        return self._desk.pool.target

    @target.setter
    def target(self, port: int) -> None:
        self._call(lambda: self._retarget(port))

    def cut_all(self, database: str | None = None) -> int:
        """Cut every client's line now, or every one to a database; returns how many."""
        return self._call(lambda: self._cut_all(database))

    def refresh(self) -> None:
        """Close the server connections that nobody has: what was set for roles holds for the next ones."""
        self._call(self._refresh)

    def session_state(self) -> list[str]:
        """What clients have left behind in the server connections that nobody has."""
        return self._call(self._session_state)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Within the block nobody listens: who connects is refused."""
        self._call(self._stop_listening)
        try:
            yield
        finally:
            self._call(self._listen)

    @contextmanager
    def watched(self) -> Iterator[Traffic]:
        """What goes through within the block, message by message."""
        traffic = self._desk.watching = Traffic()
        try:
            yield traffic
        finally:
            self._desk.watching = None

    def _call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(CALL_S)

    async def _listen(self) -> None:
        self._listener = await self._loop.create_server(factory(self._desk), "127.0.0.1", self.port, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        self._listener.close()

    async def _close(self) -> None:
        self._listener.close()
        for session in list(self._desk.sessions):
            session.close()
        self._desk.pool.close()
        await asyncio.sleep(0)  # so that closed transports are told

    async def _retarget(self, port: int) -> None:
        self._desk.pool.retarget(port)
        for session in list(self._desk.sessions):
            if session.server is not None:
                session.close()

    async def _cut_all(self, database: str | None) -> int:
        cut = [session for session in self._desk.sessions if session.is_on(database)]
        for session in cut:
            session.close()
        return len(cut)

    async def _refresh(self) -> None:
        self._desk.pool.refresh()

    async def _session_state(self) -> list[str]:
        return [left for server in self._desk.pool.idle() for left in await server.ask(SESSION_STATE)]


@contextmanager
def running_proxy(
    target_port: int, *, max_connections: int = 10, borrow_timeout_s: float = BORROW_TIMEOUT_S
) -> Iterator[Proxy]:
    """A proxy in front of the server on a port, gone when the block ends."""
    proxy = Proxy(target_port, max_connections=max_connections, borrow_timeout_s=borrow_timeout_s)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
