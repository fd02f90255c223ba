"""One client of the proxy: it borrows a server connection for each transaction and returns it afterwards."""

import asyncio
import itertools
import ssl
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from local.database_proxy import framing
from local.database_proxy.faults import ConnectionFaults, Direction, FaultyStream
from local.database_proxy.framing import MessageReader, ProtocolMessage, StartupPacket
from local.database_proxy.pool import ConnectionPool
from local.database_proxy.server import PoolKey, ServerConnection
from local.database_proxy.session_pinning import find_pin_reason
from local.database_proxy.statistics import ProxyStatistics

# Parameters that a client may send when it connects. That RDS Proxy also refuses all others, not only `options`, is an
# assumption: they would make one server session unlike another.
ACCEPTED = frozenset({"user", "database", "application_name", "client_encoding"})
# RDS Proxy's text, with SQLSTATE 0A000.
NO_OPTIONS = "Feature not supported: RDS Proxy currently doesn't support command-line options."
# This stand-in's own text.
NO_SETTING = "Feature not supported: the proxy takes no setting at startup but application_name and client_encoding."
# PostgreSQL's text.
NO_USER = "no PostgreSQL user name specified in startup packet"
NO_TLS = "This RDS Proxy requires TLS connections"
CLOSE_NOTIFY_S = 1.0  # wait for the client's TLS close_notify after the proxy has closed the connection

_ENDS_A_ROUND_TRIP = frozenset({b"S", b"Q", b"F"})  # Sync, Query, FunctionCall: each is answered by a ReadyForQuery
_COPY_DATA = frozenset({b"d", b"c", b"f"})  # CopyData, CopyDone, CopyFail: they follow a Query, and need no Sync
_serial = itertools.count(1)


@dataclass
class MessageLog:
    """Type and length in bytes of each message, in order; no content."""

    to_server: list[tuple[str, int]] = field(default_factory=list)
    to_client: list[tuple[str, int]] = field(default_factory=list)

    def note(self, direction: Direction, messages: list[ProtocolMessage]) -> None:
        """Record messages of one direction."""
        getattr(self, direction).extend((message.kind.decode("latin-1"), len(message.raw)) for message in messages)


@dataclass
class ProxyContext:
    """The parts that all sessions of one proxy share."""

    pool: ConnectionPool
    counts: ProxyStatistics
    faults: ConnectionFaults
    tls: ssl.SSLContext | None = None  # if set, clients without TLS are rejected
    sessions: set["ClientSession"] = field(default_factory=set)
    message_log: MessageLog | None = None  # while somebody watches the traffic

    def cancel(self, client_key: bytes) -> None:
        """Forward a CancelRequest to the server connection that the client with this key uses now."""
        for session in self.sessions:
            if session.cancel_key == client_key and session.server is not None:
                session.server.prevent_reuse()  # the cancellation may arrive when the next client has the connection
                asyncio.ensure_future(_send_cancel(self.pool.target, session.server.cancel_key))  # noqa: RUF006 - it ends soon


class ClientSession(asyncio.Protocol):
    """A client's connection."""

    def __init__(self, context: ProxyContext) -> None:
        self.cancel_key = struct.pack("!II", next(_serial), 0)
        self.server: ServerConnection | None = None
        self.pinned: str | None = None
        self._context = context
        self._key: PoolKey | None = None
        self._is_greeted = False
        self._is_secure = False
        self._early_tls_data: bytes | None = None  # received before start_tls has returned the new transport
        self._ended = False  # True once no more data is taken from the client
        self._startup_data = b""
        self._framer = MessageReader()
        self._pending_data: list[bytes] = []  # received while waiting for a server connection
        self._borrowing = False
        self._unanswered = 0  # round trips without a ReadyForQuery yet
        self._open_batch = False  # True while something was sent and no Sync has followed yet
        self._idle = True  # True if the last ReadyForQuery said that no transaction is open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set up both directions of the connection and register the session."""
        self._transport = cast("asyncio.Transport", transport)
        faults = self._context.faults
        self._inbound = FaultyStream(faults, "to_server", deliver=self._handle_data, cut=self.close)
        self._outbound = FaultyStream(faults, "to_client", deliver=self._write, cut=self.close)
        self._context.sessions.add(self)
        self._context.counts.clients += 1

    def data_received(self, data: bytes) -> None:
        """Take data from the client."""
        if self._early_tls_data is None:
            self._inbound.feed(data)
        else:
            self._early_tls_data += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Remove the session and discard its server connection; asyncio does not call it in a TLS handshake."""
        if self in self._context.sessions:
            self._context.sessions.remove(self)
            self._context.counts.clients -= 1
        self._end()

    def close(self) -> None:
        """Close after sending the output that is buffered; the server rolls back an open transaction."""
        self._end()
        self._transport.close()

    def abort(self) -> None:
        """Close at once, and drop the output that is buffered."""
        self._end()
        self._transport.abort()

    def _end(self) -> None:
        """Take no more data from the client, and give up the server connection.

        PostgreSQL executes what it has received, then ends its own session, which rolls back an open transaction.
        """
        self._ended = True
        self._pending_data.clear()
        self._context.pool.stop_waiting(self)
        self._leave_server()

    def uses_database(self, database: str | None) -> bool:
        """Return whether the client uses that database (None: any)."""
        return database is None or (self._key is not None and self._key.database == database)

    # messages from the client

    def _handle_data(self, data: bytes) -> None:
        if self._ended:
            return
        try:
            if self._key is None:
                data = self._read_startup(data)
            self._handle_messages(self._framer.feed(data))
        except framing.ProtocolError:
            self._transport.abort()

    def _read_startup(self, data: bytes) -> bytes:
        """Handle the packets of the connection's start; return the data behind the last of them."""
        self._startup_data += data
        while self._key is None:
            packet, self._startup_data = framing.take_startup(self._startup_data)
            if packet is None:
                return b""
            self._handle_startup_packet(packet)
            if self._ended:
                return b""
        return self._startup_data

    def _begin_tls(self, tls: ssl.SSLContext) -> None:
        # Plain text behind the SSLRequest would be processed as if it had come over TLS (CVE-2021-23214).
        if self._startup_data:
            raise framing.ProtocolError("more than a request for TLS")
        self._is_secure, self._early_tls_data = True, b""
        self._transport.pause_reading()  # what comes next is TLS
        self._outbound.feed(b"S")  # TLS is accepted
        self._handshake = asyncio.ensure_future(self._shake_hands(tls))

    async def _shake_hands(self, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        transport = None
        with suppress(OSError):  # ssl.SSLError is one: a client that does not trust our certificate hangs up
            transport = await loop.start_tls(
                self._transport, self, tls, server_side=True, ssl_shutdown_timeout=CLOSE_NOTIFY_S
            )
        if transport is not None:
            self._transport = transport
        if transport is None or self._ended:  # start_tls raises nothing where we closed the connection meanwhile
            self.abort()
            self.connection_lost(None)
            return
        early, self._early_tls_data = self._early_tls_data, None
        if early:
            self._inbound.feed(early)

    def _handle_startup_packet(self, packet: StartupPacket) -> None:
        if packet.code == framing.SSL_REQUEST and self._context.tls is not None and not self._is_secure:
            self._begin_tls(self._context.tls)
        elif packet.code in (framing.SSL_REQUEST, framing.GSSENC_REQUEST):
            self._outbound.feed(b"N")  # no encryption
        elif packet.code == framing.CANCEL_REQUEST:
            self._context.cancel(packet.body)
            self.close()
        else:
            self._handle_startup_message(packet)

    def _handle_startup_message(self, packet: StartupPacket) -> None:
        """Check the parameters and greet the client; borrow a connection first if the settings are not known."""
        parameters = framing.read_parameters(packet.body)
        if self._context.tls is not None and not self._is_secure:
            self.reject_connection(framing.build_fatal_error("28000", NO_TLS))
        elif "user" not in parameters:
            self.reject_connection(framing.build_fatal_error("28000", NO_USER))
        elif "options" in parameters:
            self.reject_connection(framing.build_fatal_error("0A000", NO_OPTIONS))
        elif packet.code != framing.PROTOCOL_3_0 or not set(parameters) <= ACCEPTED:
            self.reject_connection(framing.build_fatal_error("0A000", NO_SETTING))
        else:
            key = self._key = PoolKey(parameters["user"], parameters.get("database") or parameters["user"])
            if key in self._context.pool.known_settings:
                self._send_greeting(self._context.pool.known_settings[key])
            else:
                self._borrow(key)

    def _send_greeting(self, settings: Mapping[str, str]) -> None:
        """Send the end of authentication, the settings and the cancel key; no password is asked for."""
        self._is_greeted = True
        statuses = b"".join(framing.build_parameter_status(*setting) for setting in settings.items())
        key_data = framing.build_message(b"K", self.cancel_key)
        self._outbound.feed(framing.AUTHENTICATED + statuses + key_data + framing.IDLE)

    def _handle_messages(self, messages: list[ProtocolMessage]) -> None:
        kinds = [message.kind for message in messages]
        if b"X" in kinds:  # Terminate
            self._send_to_server(messages[: kinds.index(b"X")])
            self.close()
        else:
            self._send_to_server(messages)

    def _send_to_server(self, messages: list[ProtocolMessage]) -> None:
        if not messages or self._key is None or self._ended:
            return
        if self._context.message_log is not None:
            self._context.message_log.note("to_server", messages)
        data = b"".join(message.raw for message in messages if self._track_message(message))
        if self.server is not None:
            self.server.send(data)
        elif data:
            self._pending_data.append(data)
            self._borrow(self._key)

    def _track_message(self, message: ProtocolMessage) -> bool:
        """Record what a message starts or ends; return whether to send it to the server."""
        if message.kind == b"H":  # Flush: psycopg also sends one after each Sync, for which no connection is needed
            return self._open_batch
        if message.kind in _ENDS_A_ROUND_TRIP:
            self._context.counts.round_trips += 1
            self._unanswered += 1
            self._open_batch = False
        elif message.kind not in _COPY_DATA:
            self._open_batch = True
        self._pin_session(find_pin_reason(message))
        return True

    def _pin_session(self, reason: str | None) -> None:
        if reason is not None and self.pinned is None:
            self.pinned = reason
            self._context.counts.pins[reason] += 1

    # the server connection

    def _borrow(self, key: PoolKey) -> None:
        if not self._borrowing:
            self._borrowing = True
            self._context.pool.borrow(self, key)

    def accept_connection(self, server: ServerConnection) -> None:
        """Take the server connection and send the data that waits for it.

        If none waits, the connection was borrowed only for the settings in the greeting, and is returned at once.
        """
        self._borrowing = False
        self.server = server
        if self._pending_data:
            server.send(b"".join(self._pending_data))
            self._pending_data.clear()
        self._return_connection_if_done(unsolicited=[])
        if not self._is_greeted:
            self._send_greeting(server.parameters)

    def reject_connection(self, error: bytes) -> None:
        """Send the error to the client and close the connection."""
        self._end()
        self._outbound.feed(error)
        self._outbound.end(self.close)

    def handle_server_messages(self, messages: list[ProtocolMessage]) -> None:
        """Send the client the messages up to the ReadyForQuery that ends its transaction.

        Later ones are unsolicited: the server connection handles them.
        """
        count = len(messages)
        for n, message in enumerate(messages):
            if message.kind == b"Z":  # ReadyForQuery
                self._count_ready_for_query(message.body)
                if self._is_done:
                    count = n + 1
                    break
            elif message.kind == b"S":  # ParameterStatus
                self._count_changed_setting(message)
        # Return the connection first, so that a client that reads the statistics after its answer finds it returned.
        self._return_connection_if_done(unsolicited=messages[count:])
        self._send_to_client(messages[:count])

    def _send_to_client(self, messages: list[ProtocolMessage]) -> None:
        if self._context.message_log is not None:
            self._context.message_log.note("to_client", messages)
        self._outbound.feed(b"".join(message.raw for message in messages))

    def handle_server_loss(self) -> None:
        """Close the client's connection because the server has closed its end.

        Take no more data from the client: its next statements belong to a transaction that no longer exists.
        """
        self._end()
        self._outbound.end(self.close)

    def _count_ready_for_query(self, status: bytes) -> None:
        self._unanswered -= 1
        self._idle = status == b"I"
        self._context.counts.transactions += int(self._idle)  # a ReadyForQuery outside a transaction has ended one

    def _count_changed_setting(self, message: ProtocolMessage) -> None:
        if self.server is not None and (changed := self.server.note_parameter(message)):
            self._context.counts.changed_settings[changed] += 1

    @property
    def _is_done(self) -> bool:
        return self._idle and self._unanswered == 0 and not self._open_batch and self.pinned is None

    def _return_connection_if_done(self, *, unsolicited: list[ProtocolMessage]) -> None:
        if self.server is not None and self._is_done:
            server, self.server = self.server, None
            server.borrower = None
            server.handle_unsolicited_messages(unsolicited)
            self._context.pool.return_connection(server)

    def _leave_server(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            self._context.pool.discard(server)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


async def _send_cancel(target: int, key: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", target)
    writer.write(framing.build_cancel_request(key))
    await writer.drain()
    writer.close()


def make_session_factory(context: ProxyContext) -> Callable[[], ClientSession]:
    """Return a function that makes a session for each new client."""
    return lambda: ClientSession(context)
