"""One proxy with its simulated clients and servers, and the rules that must hold at every moment."""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate

from local.database_proxy.faults import ConnectionFaults
from local.database_proxy.framing import (
    CANCEL_REQUEST,
    MessageReader,
    ProtocolMessage,
    build_message,
    build_query,
    build_startup,
    take_startup,
)
from local.database_proxy.pool import ConnectionPool
from local.database_proxy.proxy import BORROW_TIMEOUT_S
from local.database_proxy.server import ServerConnection
from local.database_proxy.session import ProxyContext, make_session_factory
from local.database_proxy.statistics import ProxyStatistics
from tests.multiplexing.backend import SHUTDOWN, SimulatedBackend, answer_all, build_greeting
from tests.multiplexing.network import SimulatedTransport, VirtualTimeLoop

PORTS = (1, 2)
SETTLE_TICKS, SETTLE_TICK_S = 900, 0.01  # together less than the borrow timeout
QUIET_TICKS = 12  # longer than the pool's pause before it tries to connect again
EVERYTHING = 1 << 20  # bytes


@dataclass(eq=False)
class SimulatedServer:
    """The far end of a server connection: a backend, and what it has received and not worked at yet."""

    end: SimulatedTransport
    pid: int
    port: int
    backend: SimulatedBackend = field(default_factory=SimulatedBackend)
    inbox: list[ProtocolMessage] = field(default_factory=list)
    user: str = ""  # the client whose messages came last
    cancel_key: bytes = b""  # of a connection that brings a CancelRequest
    greeted: bool = False
    written_off: bool = False  # the proxy need not count it any more
    _start: bytes = b""
    _framer: MessageReader = field(default_factory=MessageReader)
    _sent: int = 0
    _answered: int = 0  # position in the stream behind the last answer
    _edges: set[int] = field(default_factory=lambda: {0})  # positions between two messages

    @property
    def is_alive(self) -> bool:
        """Return whether it counts as a session."""
        return not self.backend.ended and isinstance(self.end.get_protocol(), ServerConnection)

    def receive(self, most: int) -> None:
        """Get up to `most` bytes of what the proxy has sent."""
        data = self.end.take(most)
        if not self.greeted and not self.cancel_key:
            data = self._begin(data)
        self.inbox += self._framer.feed(data)

    def _begin(self, data: bytes) -> bytes:
        packet, self._start = take_startup(self._start + data)
        if packet is None:
            return b""
        if packet.code == CANCEL_REQUEST:
            self.cancel_key = packet.body
            self.end.incoming_ended = True
            return b""
        self.greeted = True
        self.say(build_greeting(self.pid), is_answer=True)
        return self._start

    def handle_message(self) -> None:
        """Take one message from the inbox and answer it."""
        if self.backend.ended:
            return
        if self.inbox:
            self.say(self.backend.answer(self.inbox.pop(0)), is_answer=True)
        elif self.end.outgoing_ended and not self.end.outgoing:
            self.backend.ended = True
        if self.backend.ended:
            self.end.incoming_ended = True

    def say(self, data: bytes, *, is_answer: bool = False) -> None:
        """Send something to the proxy."""
        sizes = [len(m.raw) for m in MessageReader().feed(data)]
        self._edges |= set(accumulate(sizes, initial=self._sent))
        self._sent += len(data)
        self._answered = self._sent if is_answer and data else self._answered
        self.end.incoming += data

    def end_session(self) -> None:
        """End the session as an administrator's command or a failover does."""
        if self.is_alive:
            self.say(SHUTDOWN)
            self.backend.ended = self.end.incoming_ended = True

    @property
    def is_moving(self) -> bool:
        """Return whether something is under way from or to it, or waits to be processed."""
        has_work = not self.backend.ended and (bool(self.inbox) or self.end.outgoing_ended)
        return has_work or self.end.is_moving

    def break_connection(self) -> None:
        """The server's host is gone."""
        self.backend.ended = True
        self.end.reset()

    @property
    def left_over(self) -> str:
        """Why the session is not clean for another client now; empty where it is."""
        if self.inbox or self.end.outgoing:
            return "messages of the former client are not worked at"
        if self.backend.owner:
            return f"{self.backend.owner} is in a transaction"
        if self.end.read < self._answered:
            return "answers are not read"
        if self.backend.ended and self.end.read == self._sent:
            return "it has said that it ends"
        return "" if self.end.read in self._edges else "a message is half read"


@dataclass(eq=False)
class SimulatedClient:
    """The far end of a client's connection."""

    name: str
    end: SimulatedTransport
    sent: bytearray = field(default_factory=bytearray)  # messages, without the startup packet
    key: bytes = b""  # for its CancelRequests
    serial: int = 0
    has_cancelled: bool = False
    has_open_batch: bool = False
    has_left: bool = False
    answers: list[ProtocolMessage] = field(default_factory=list)
    _framer: MessageReader = field(default_factory=MessageReader)
    _greeted: bool = False

    def say(self, words: str, *, extended: bool = False) -> None:
        """Send one statement for each word: as one query, or as a pipeline in which `sync` is a Sync."""
        self.has_open_batch = extended and not words.endswith("sync")
        parts = [self._make_text(word) for word in words.split()]
        data = b"".join(map(_split_messages, parts)) if extended else build_query("; ".join(parts).replace("; ", ";"))
        self.send(data)

    def send(self, data: bytes) -> None:
        """Send messages."""
        self.sent += data
        self.end.incoming += data

    def leave(self, *, politely: bool) -> None:
        """End the session with a Terminate, or without a word."""
        self.has_left = True
        self.end.incoming += build_message(b"X") if politely else b""
        self.end.incoming_ended = True

    def receive(self, most: int) -> None:
        """Read up to `most` bytes."""
        for said in self._framer.feed(self.end.take(most)):
            if said.kind == b"K":
                self.key = said.body
            elif said.kind not in (b"R", b"S", b"N"):
                self._note(said)

    def _note(self, said: ProtocolMessage) -> None:
        if self._greeted or said.kind != b"Z":
            self.answers.append(said)
        self._greeted = True

    def _make_text(self, word: str) -> str:
        self.serial += 1
        return word if word == "sync" else f"{self.name}.{self.serial} {word}"

    @property
    def in_order(self) -> bytes:
        """All answers up to the words with which its connection was ended."""
        raw = [said.raw for said in self.answers]
        return b"".join(raw[:-1] if raw and b"SFATAL\0" in raw[-1] else raw)


def _split_messages(part: str) -> bytes:
    if part == "sync":
        return build_message(b"S")
    return (
        build_message(b"P", b"\0" + part.encode() + b"\0\0\0")
        + build_message(b"B", bytes(8))
        + build_message(b"E", bytes(5))
    )


class ProxySimulation:
    """Everything in one place; `violations` has what must not be."""

    def __init__(self, max_connections: int) -> None:
        self.loop = VirtualTimeLoop(self._accept)
        self.counts = ProxyStatistics()
        self.servers: list[SimulatedServer] = []
        self.clients: list[SimulatedClient] = []
        self.violations: list[str] = []
        self.listening = set(PORTS)
        self._askers: dict[bytes, list[str]] = {}  # who has asked for cancellations, by the session's key
        self.pool = ConnectionPool(
            PORTS[0], max_connections=max_connections, borrow_timeout_s=BORROW_TIMEOUT_S, counts=self.counts
        )
        self.desk = ProxyContext(self.pool, self.counts, ConnectionFaults())

    # what a schedule may do

    def connect(self) -> SimulatedClient:
        """Return a new client, whose startup packet is on its way."""
        end = SimulatedTransport(self.loop, make_session_factory(self.desk)())
        client = SimulatedClient(f"c{len(self.clients)}", end)
        self.clients.append(client)
        end.incoming += build_startup({"user": "app", "database": "claims"})
        self.call_soon(end.start)
        return client

    def cancel(self, client: SimulatedClient) -> None:
        """Somebody who has the client's key asks for its statement to be cancelled."""
        if client.key:
            client.has_cancelled = True
            end = SimulatedTransport(self.loop, make_session_factory(self.desk)())
            end.incoming += struct.pack("!II", len(client.key) + 8, CANCEL_REQUEST) + client.key
            self.call_soon(end.start)
            self.call_soon(lambda: self._note_asker(client))
            self.call_soon(lambda: end.deliver(100))

    def _note_asker(self, client: SimulatedClient) -> None:
        for session in self.desk.sessions:
            if session.cancel_key == client.key and session.server is not None:
                self._askers.setdefault(session.server.cancel_key, []).append(client.name)

    def cut_all(self) -> None:
        """Every client's line is cut by the proxy."""
        for session in list(self.desk.sessions):
            self.call_soon(session.close)

    def retarget(self, port: int) -> None:
        """Lead to another server, as `Proxy.target` does."""
        for server in self.servers:
            server.written_off = True
        self.pool.retarget(port)
        for session in list(self.desk.sessions):
            if session.server is not None:
                session.close()

    def advance(self, seconds: float) -> None:
        """Let time pass; sessions that the proxy has left need not be counted for ever."""
        for server in self.servers:
            server.written_off |= server.end.outgoing_ended
        self.loop.advance(seconds)

    def cut(self, client: SimulatedClient) -> None:
        """The client's host is gone."""
        client.has_left = True
        self.call_soon(client.end.reset)

    def call_soon(self, act: Callable[[], object]) -> None:
        """Let it happen in the loop's next iteration, with whatever else is to happen there."""
        self.loop.call_soon(act)

    def apply_cancels(self) -> None:
        """Let the CancelRequests that have come to a server reach the sessions they are for."""
        for asking in [server for server in self.servers if server.cancel_key]:
            self.servers.remove(asking)
            names = self._askers.get(asking.cancel_key) or [""]
            self._cancel(asking.cancel_key, names.pop(0))

    def _cancel(self, key: bytes, name: str) -> None:
        for server in self.servers:
            if struct.pack("!II", server.pid, server.pid) == key and server.inbox:
                server.backend.cancel_for = name

    def settle(self) -> None:
        """Move everything until nothing has moved for a while."""
        quiet = 0
        for _ in range(SETTLE_TICKS):
            quiet = 0 if self._move_all() else quiet + 1
            self.apply_cancels()
            self.loop.advance(SETTLE_TICK_S)
            if quiet == QUIET_TICKS:
                return
        raise AssertionError("it does not settle")

    def _move_all(self) -> bool:
        """Let everything that is under way arrive; False where nothing is."""
        moving = False
        for server in self.servers:
            if server.is_moving:
                moving = True
                self.call_soon(partial(server.receive, EVERYTHING))
                self.call_soon(server.handle_message)
                self.call_soon(partial(server.end.deliver, EVERYTHING))
        for client in self.clients:
            if client.end.is_moving:
                moving = True
                self.call_soon(partial(client.end.deliver, EVERYTHING))
                self.call_soon(partial(client.receive, EVERYTHING))
        return moving

    def delay_data(self, seconds: float) -> None:
        """Deliver what the proxy says to clients that much later."""
        self.desk.faults.delays = {"to_client": seconds} if seconds else {}

    def finish(self) -> None:
        """Let every client come to the end of its transaction and get all its answers; then they leave."""
        self.delay_data(0)
        staying = [client for client in self.clients if not client.has_left]
        for client in staying:
            client.say("sync rollback sync", extended=True)
        self.settle()
        self.check()
        for client in staying:
            if not client.end.is_lost and not client.has_cancelled:
                assert answer_all(bytes(client.sent))[0] == client.in_order, f"{client.name} still waits"
            client.leave(politely=True)
        self.settle()
        self.check()
        figures = (self.counts.clients, self.counts.borrowed, self.counts.waiting)
        alive = [s for s in self.servers if s.is_alive and not s.written_off]
        assert (figures, len(alive)) == ((0, 0, 0), self.pool.open_count)

    def close(self) -> None:
        """Stop everything."""
        self.call_soon(self.pool.close)
        self.loop.run_once()
        self.loop.run_once()
        self.loop.close()

    # what must hold

    def _accept(self, port: int, end: SimulatedTransport) -> None:
        if port not in self.listening:
            raise ConnectionRefusedError(port)
        server = SimulatedServer(end, len(self.servers) + 100, port)
        end.on_write = lambda: self._check_lending(server)
        self.servers.append(server)

    def _check_lending(self, server: SimulatedServer) -> None:
        """Called when the proxy writes to a server: another client's messages need a clean session."""
        user = self._find_user(server.end.get_protocol())
        if user and user != server.user:
            if server.left_over:
                self.violations.append(f"{user} got the session of {server.user}: {server.left_over}")
            server.user = user

    def _find_user(self, connection: asyncio.BaseProtocol) -> str:
        """Return who uses a server connection: a client, the proxy with a query of its own, or nobody."""
        borrower: object = connection.borrower if isinstance(connection, ServerConnection) else None
        names = [client.name for client in self.clients if client.end.get_protocol() is borrower]
        return names[0] if names else "proxy" if borrower else ""

    def check(self) -> None:
        """Raise AssertionError where anything is not as it must be."""
        assert not self.violations, self.violations
        assert not self.loop.crashes, self.loop.crashes
        alive = [server for server in self.servers if server.is_alive and not server.written_off]
        assert len(alive) <= self.pool.max_connections, "PostgreSQL has more sessions than the pool may open"
        for server in self.servers:
            assert server.backend.stolen == []
        for client in self.clients:
            self._check_client(client)

    def _check_client(self, client: SimulatedClient) -> None:
        expected, executed = answer_all(bytes(client.sent))
        mine = [each for server in self.servers for each in server.backend.executed if _is_of(client, each[0])]
        tags = [said.body[6:].decode() for said in client.answers if said.kind == b"D"]
        assert all(_is_of(client, tag) for tag in tags), f"{client.name} was answered {tags}"
        if client.has_cancelled:
            return
        assert expected.startswith(client.in_order), f"{client.name} was answered {client.in_order!r}, not {expected!r}"
        mine.sort(key=lambda each: int(each[0].split(".")[1]))
        assert mine == executed[: len(mine)], f"{client.name}: {mine} was executed, not {executed}"


def _is_of(client: SimulatedClient, tag: str) -> bool:
    return tag.split(".")[0] == client.name
