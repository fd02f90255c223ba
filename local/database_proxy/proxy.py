"""A PostgreSQL proxy that behaves like RDS Proxy, in a thread of this process, on a loopback port.

    with run_proxy(5432, max_connections=10, borrow_timeout_s=2) as proxy:
        psycopg.connect(f"host=127.0.0.1 port={proxy.port} …")
        proxy.counts.pins, proxy.counts.borrowed_max
        with proxy.faults.cut("to_client", 17): …

Comments beside the code say which behaviour of RDS Proxy is documented and which is assumed; see docs/decisions/0010.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from local.database_proxy.faults import ConnectionFaults
from local.database_proxy.pool import ConnectionPool
from local.database_proxy.session import MessageLog, ProxyContext, make_session_factory
from local.database_proxy.statistics import ProxyStatistics

T = TypeVar("T")

CALL_S = 10.0  # for a call into the proxy's thread
# The value for ConnectionBorrowTimeout of the RDS Proxy (docs/how-to/deploy.md; its own default is 120 s). It is
# shorter than a call may take, so that a client that waits in vain gets the API's answer and is not cut off by the
# gateway.
BORROW_TIMEOUT_S = 10.0

# State that a server session can keep from one client to the next, one row for each item.
SESSION_STATE = """
SELECT 'setting ' || name FROM pg_settings WHERE source = 'session'
UNION ALL SELECT 'prepared statement' FROM pg_prepared_statements
UNION ALL SELECT 'cursor' FROM pg_cursors WHERE name <> ''
UNION ALL SELECT 'channel' FROM pg_listening_channels()
UNION ALL SELECT 'advisory lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
UNION ALL SELECT 'temporary object' FROM pg_class WHERE relnamespace = pg_my_temp_schema()
"""


class Proxy:
    """A running proxy. Any thread may read `counts` and set `faults`."""

    def __init__(
        self,
        target: int,
        *,
        port: int = 0,
        max_connections: int = 10,
        borrow_timeout_s: float = BORROW_TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """`tls`: with it clients come by TLS, and nobody else is let in, as by an RDS Proxy that requires it."""
        self.counts = ProxyStatistics()
        self.faults = ConnectionFaults()
        self.port = port
        self.crashes: list[str] = []  # of the proxy itself
        pool = ConnectionPool(
            target, max_connections=max_connections, borrow_timeout_s=borrow_timeout_s, counts=self.counts
        )
        self._context = ProxyContext(pool, self.counts, self.faults, tls)
        self._loop = loop or asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _loop, context: self.crashes.append(repr(context)))
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        """Listen on 127.0.0.1, on a free port if none was named. Raise OSError."""
        self._thread.start()
        self._call(self._listen)

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    @property
    def target(self) -> int:
        """Return the port of the server."""
        return self._context.pool.target

    @target.setter
    def target(self, port: int) -> None:
        self._call(lambda: self._retarget(port))

    @property
    def max_connections(self) -> int:
        """Return how many server connections there may be."""
        return self._context.pool.max_connections

    @max_connections.setter
    def max_connections(self, number: int) -> None:
        self._call(lambda: self._set_limit(number))

    @property
    def is_listening(self) -> bool:
        """Return whether new clients are accepted; they are refused otherwise."""
        return self._listener.is_serving()

    @is_listening.setter
    def is_listening(self, wanted: bool) -> None:
        if wanted != self.is_listening:
            self._call(self._listen if wanted else self._stop_listening)

    def read_statistics(self) -> dict[str, Any]:
        """Return all of ProxyStatistics, of one moment, with two present numbers.

        `server_connections` are open to the server, `pinned` sessions keep one of them.
        """
        return self._call(self._read_statistics)

    def reset_counts(self) -> None:
        """Restart totals at 0 and maxima at the present values."""
        self._call(self._reset_counts)

    def cut_all(self, database: str | None = None) -> int:
        """Disconnect every client now, or every client of one database; return how many."""
        return self._call(lambda: self._cut_all(database))

    def refresh(self) -> None:
        """Close the idle server connections: a changed setting of a role takes effect in new sessions."""
        self._call(self._refresh)

    def read_session_state(self) -> list[str]:
        """Return what clients have left behind in the idle server connections."""
        return self._call(self._read_session_state)

    @contextmanager
    def refuse_connections(self) -> Iterator[None]:
        """Refuse new connections within the block."""
        self.is_listening = False
        try:
            yield
        finally:
            self.is_listening = True

    @contextmanager
    def watch_traffic(self) -> Iterator[MessageLog]:
        """Record the messages that pass within the block."""
        traffic = self._context.message_log = MessageLog()
        try:
            yield traffic
        finally:
            self._context.message_log = None

    def _call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(CALL_S)

    async def _listen(self) -> None:
        self._listener = await self._loop.create_server(
            make_session_factory(self._context), "127.0.0.1", self.port, backlog=1024
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        self._listener.close()

    async def _close(self) -> None:
        self._listener.close()
        for session in list(self._context.sessions):
            session.abort()
        self._context.pool.close()
        await asyncio.sleep(0)  # so that closed transports run their callbacks

    async def _retarget(self, port: int) -> None:
        self._context.pool.retarget(port)
        for session in list(self._context.sessions):
            if session.server is not None:
                session.close()

    async def _set_limit(self, number: int) -> None:
        self._context.pool.set_limit(number)

    async def _read_statistics(self) -> dict[str, Any]:
        by_name = {"pins": dict(self.counts.pins), "changed_settings": dict(self.counts.changed_settings)}
        pinned = sum(session.pinned is not None and session.server is not None for session in self._context.sessions)
        present = {"server_connections": self._context.pool.open_count, "pinned": pinned}
        return {**vars(self.counts), **by_name, **present}

    async def _reset_counts(self) -> None:
        self.counts.reset()

    async def _cut_all(self, database: str | None) -> int:
        cut = [session for session in self._context.sessions if session.uses_database(database)]
        for session in cut:
            session.close()
        return len(cut)

    async def _refresh(self) -> None:
        self._context.pool.refresh()

    async def _read_session_state(self) -> list[str]:
        return await self._context.pool.ask_idle(SESSION_STATE)


@contextmanager
def run_proxy(
    target_port: int,
    *,
    max_connections: int = 10,
    borrow_timeout_s: float = BORROW_TIMEOUT_S,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Proxy]:
    """Run a proxy for the server on a port until the block ends."""
    proxy = Proxy(target_port, max_connections=max_connections, borrow_timeout_s=borrow_timeout_s, tls=tls)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
