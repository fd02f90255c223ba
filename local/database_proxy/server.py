"""One connection from the proxy to PostgreSQL, borrowed by one client at a time."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from local.database_proxy.framing import (
    TERMINATE,
    MessageReader,
    ProtocolError,
    ProtocolMessage,
    build_fatal_error,
    build_query,
    build_startup,
    read_fields,
    read_parameters,
)

# A setting of the server, not of the session: a promoted standby reports it to every client.
SERVER_WIDE = frozenset({"in_hot_standby"})
WANTS_PASSWORD = build_fatal_error("28000", "the server wants a password; it has to trust the proxy")


class PoolKey(NamedTuple):
    """The user and database of server connections that are interchangeable."""

    user: str
    database: str


class ConnectionRejected(Exception):
    """The server rejected a connection; `raw` is its ErrorResponse."""

    def __init__(self, raw: bytes) -> None:
        super().__init__("refused")
        self.raw = raw
        self.sqlstate = read_fields(raw[5:]).get("C", "")


class ConnectionUser(Protocol):
    """A client that has a server connection."""

    def handle_server_messages(self, messages: list[ProtocolMessage]) -> None:
        """Handle messages from the server."""
        ...

    def handle_server_loss(self) -> None:
        """Handle the loss of the server connection."""
        ...


class ServerConnection(asyncio.Protocol):
    """A connection that is usable once `ready` is done.

    `on_lost` is called when it is gone, and when it sent something while it was idle.
    """

    def __init__(self, key: PoolKey, on_lost: Callable[["ServerConnection"], None]) -> None:
        self.key = key
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.borrower: ConnectionUser | None = None
        self.parameters: dict[str, str] = {}
        self.cancel_key = b""
        self.is_closed = False
        self.idle_since = 0.0  # on the loop's clock
        self._usable = True
        self._on_lost = on_lost
        self._framer = MessageReader()

    @property
    def is_reusable(self) -> bool:
        """Return whether another client may use it: open, not excluded, and with no message half received."""
        return self._usable and not self.is_closed and not self._framer.has_rest

    def prevent_reuse(self) -> None:
        """Let no other client use the connection once its present client is done."""
        self._usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the startup message."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(build_startup({"user": self.key.user, "database": self.key.database}))

    def data_received(self, data: bytes) -> None:
        """Pass complete messages to the client, or handle them here if no client uses the connection."""
        try:
            messages = self._framer.feed(data)
        except ProtocolError:
            self.close()
            return
        if self.borrower is not None:
            self.borrower.handle_server_messages(messages)
        else:
            self.handle_unsolicited_messages(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss to the client and to the pool."""
        self.is_closed = True
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("closed by the server"))
        borrower, self.borrower = self.borrower, None
        if borrower is not None:
            borrower.handle_server_loss()
        self._on_lost(self)

    def send(self, data: bytes) -> None:
        """Send a client's data to the server."""
        self._transport.write(data)

    def end_session(self) -> None:
        """End the session after the data that was sent on it; ignore what the server still sends."""
        self._usable = False
        self._transport.write(TERMINATE)
        self._transport.write_eof()  # during a COPY a backend takes Terminate for an error and goes on reading

    def close(self) -> None:
        """Close the connection at once."""
        self.is_closed = True
        self._transport.abort()

    def note_parameter(self, message: ProtocolMessage) -> str | None:
        """Store a ParameterStatus; return the setting's name if its value has changed, else None."""
        ((name, value),) = read_parameters(message.body).items()
        changed = self.parameters.get(name) != value and name not in SERVER_WIDE
        self.parameters[name] = value
        return name if changed else None

    async def ask(self, text: str) -> list[str]:
        """Return the first column of a query's rows. Raise ConnectionError."""
        server_query = _ServerQuery(self)
        self.borrower = server_query
        self.send(build_query(text))
        try:
            return await server_query.answer
        finally:
            self.borrower = None

    def handle_unsolicited_messages(self, messages: list[ProtocolMessage]) -> None:
        """Handle messages that the server sends while no client waits for an answer.

        A ParameterStatus or a notice may come at any time and changes nothing. Anything else is the end of the session
        (a FATAL error comes before the connection is closed), or an answer to another client: the connection must never
        be borrowed again.
        """
        for message in messages:
            if message.kind == b"S":
                self.note_parameter(message)
            elif message.kind != b"N" and self._usable:
                self._handle_rest(message)

    def _handle_rest(self, message: ProtocolMessage) -> None:
        if not self.ready.done():
            self._start(message)
        else:
            self.prevent_reuse()
            self._on_lost(self)

    def _start(self, message: ProtocolMessage) -> None:
        if message.kind == b"K":
            self.cancel_key = message.body
        elif message.kind == b"Z":
            self.ready.set_result(None)
        elif message.kind == b"E":
            self.ready.set_exception(ConnectionRejected(message.raw))
        elif message.kind == b"R" and message.body != b"\0\0\0\0":
            self.ready.set_exception(ConnectionRejected(WANTS_PASSWORD))


class _ServerQuery:
    def __init__(self, server: ServerConnection) -> None:
        self._server = server
        self.answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._found: list[str] = []

    def handle_server_messages(self, messages: list[ProtocolMessage]) -> None:
        for message in messages:
            if self.answer.done():
                self._server.handle_unsolicited_messages([message])
            elif message.kind == b"D":
                self._found.append(message.body[6:].decode())  # one column: after two bytes of count, four of length
            elif message.kind == b"E":
                self._found.append(read_fields(message.body)["M"])
            elif message.kind == b"Z":
                self.answer.set_result(self._found)

    def handle_server_loss(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError("closed by the server"))
