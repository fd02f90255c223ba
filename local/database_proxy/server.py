"""One connection from the proxy to PostgreSQL, lent to one client at a time."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from local.database_proxy.framing import (
    TERMINATE,
    Framer,
    Message,
    ProtocolError,
    fatal,
    query,
    read_fields,
    read_parameters,
    startup,
)

# The server's own affair, not the session's: a standby that is promoted tells everyone.
SERVER_WIDE = frozenset({"in_hot_standby"})
WANTS_PASSWORD = fatal("28000", "the server wants a password; it has to trust the proxy")


class Key(NamedTuple):
    """The key of server connections that can be exchanged for each other."""

    user: str
    database: str


class Refused(Exception):
    """The server turned a connection down; `raw` is what it said."""

    def __init__(self, raw: bytes) -> None:
        super().__init__("refused")
        self.raw = raw
        self.sqlstate = read_fields(raw[5:]).get("C", "")


class Borrower(Protocol):
    """Return the clients that have a server connection."""

    def from_server(self, messages: list[Message]) -> None:
        """It answered."""
        ...

    def server_lost(self) -> None:
        """It is gone."""
        ...


class ServerConnection(asyncio.Protocol):
    """Usable once `ready` is done. `lost` is called when it is gone, and when it spoke while nobody had it."""

    def __init__(self, key: Key, lost: Callable[["ServerConnection"], None]) -> None:
        self.key = key
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.borrower: Borrower | None = None
        self.parameters: dict[str, str] = {}
        self.cancel_key = b""
        self.closed = False
        self.idle_since = 0.0  # on the loop's clock
        self._usable = True
        self._lost = lost
        self._framer = Framer()

    @property
    def is_reusable(self) -> bool:
        """Whether the next client may have it: open, trusted, and with no message half received."""
        return self._usable and not self.closed and not self._framer.has_rest

    def distrust(self) -> None:
        """Let nobody else have it once its present client is done."""
        self._usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(startup({"user": self.key.user, "database": self.key.database}))

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._framer.feed(data)
        except ProtocolError:
            self.close()
            return
        if self.borrower is not None:
            self.borrower.from_server(messages)
        else:
            self.hear(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("closed by the server"))
        borrower, self.borrower = self.borrower, None
        if borrower is not None:
            borrower.server_lost()
        self._lost(self)

    def send(self, data: bytes) -> None:
        """Pass on what a client sent."""
        self._transport.write(data)

    def leave(self) -> None:
        """End the session after what was sent on it; what it still says is not for anybody."""
        self._usable = False
        self._transport.write(TERMINATE)
        self._transport.write_eof()  # in the middle of a COPY a backend takes Terminate for an error and reads on

    def close(self) -> None:
        """Hang up."""
        self.closed = True
        self._transport.abort()

    def note(self, message: Message) -> str | None:
        """Take a ParameterStatus; the setting's name where it is another value than before."""
        ((name, value),) = read_parameters(message.body).items()
        changed = self.parameters.get(name) != value and name not in SERVER_WIDE
        self.parameters[name] = value
        return name if changed else None

    async def ask(self, text: str) -> list[str]:
        """The first column of what a query answers. Raises ConnectionError."""
        asking = _Asking(self)
        self.borrower = asking
        self.send(query(text))
        try:
            return await asking.answer
        finally:
            self.borrower = None

    def hear(self, messages: list[Message]) -> None:
        """Take what the server says while nobody waits for an answer.

        A ParameterStatus or a notice may come at any time and changes nothing. Anything else is the end of the session
        (a FATAL error comes before the line is closed), or an answer to somebody else: it must never be lent again.
        """
        for message in messages:
            if message.kind == b"S":
                self.note(message)
            elif message.kind != b"N" and self._usable:
                self._hear_rest(message)

    def _hear_rest(self, message: Message) -> None:
        if not self.ready.done():
            self._start(message)
        else:
            self.distrust()
            self._lost(self)

    def _start(self, message: Message) -> None:
        if message.kind == b"K":
            self.cancel_key = message.body
        elif message.kind == b"Z":
            self.ready.set_result(None)
        elif message.kind == b"E":
            self.ready.set_exception(Refused(message.raw))
        elif message.kind == b"R" and message.body != b"\0\0\0\0":
            self.ready.set_exception(Refused(WANTS_PASSWORD))


class _Asking:
    def __init__(self, server: ServerConnection) -> None:
        self._server = server
        self.answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._found: list[str] = []

    def from_server(self, messages: list[Message]) -> None:
        for message in messages:
            if self.answer.done():
                self._server.hear([message])
            elif message.kind == b"D":
                self._found.append(message.body[6:].decode())  # one column: after two bytes of count, four of length
            elif message.kind == b"E":
                self._found.append(read_fields(message.body)["M"])
            elif message.kind == b"Z":
                self.answer.set_result(self._found)

    def server_lost(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError("closed by the server"))
