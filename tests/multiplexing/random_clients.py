"""Random clients on a real PostgreSQL: every statement returns a value that no other statement returns."""

import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from local.database_proxy.framing import MessageReader, ProtocolMessage, build_message, build_startup
from local.database_proxy.proxy import Proxy, run_proxy
from tests.databases import PostgresHandle

CONNECTIONS = 3
DONE_S, ANSWER_S = 240.0, 60.0


@dataclass
class ClientCounts:
    """The counts of what the clients have seen."""

    limit: int
    answered: int = 0
    failed: int = 0  # statements that should, and those that were skipped after them
    left: int = 0  # clients that went in the middle
    wrong: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    open_max: int = 0


def run_clients(postgres: PostgresHandle, *, seed: int, clients: int, rounds: int) -> ClientCounts:
    """Let `clients` clients come and go on few server connections; each chooses by a seed of its own."""
    figures = ClientCounts(CONNECTIONS)
    with run_proxy(postgres.server.port, max_connections=CONNECTIONS, borrow_timeout_s=60) as proxy:
        workers = [_RandomClient(proxy, seed, n, figures) for n in range(clients)]
        threads = [threading.Thread(target=each.run, args=(rounds,), daemon=True) for each in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DONE_S)
            assert not thread.is_alive(), "a client waits for ever"
        figures.crashes, figures.open_max = proxy.crashes, proxy.counts.open_max
        assert proxy.read_session_state() == []
    return figures


@dataclass
class _PipelineBatch:
    """The part of a pipeline that one Sync ends: its messages, and the values that come back, in order."""

    sent: bytes
    values: list[str]
    fails: bool


class _RandomClient:
    """Connects, sends pipelines of some batches, reads all answers or goes before; then the same again."""

    def __init__(self, proxy: Proxy, seed: int, number: int, figures: ClientCounts) -> None:
        self._random = random.Random(f"{seed}/{number}")
        self._port = proxy.port
        self._number, self._serial = number, 0
        self._figures = figures

    def run(self, rounds: int) -> None:
        """Come and go `rounds` times."""
        for _ in range(rounds):
            with socket.create_connection(("127.0.0.1", self._port), ANSWER_S) as line:
                line.sendall(build_startup({"user": "postgres", "database": "postgres"}))
                said = _read_messages(line)
                _read_batch(said)
                while self._random.random() < 0.7 and self._run_pipeline(line, said):
                    pass

    def _run_pipeline(self, line: socket.socket, said: Iterator[ProtocolMessage]) -> bool:
        """Run one pipeline; return False if the client leaves after some of its bytes, or of its answers."""
        batches = [self._make_batch() for _ in range(self._random.randint(1, 4))]
        data = b"".join(batch.sent for batch in batches)
        leaves = self._random.random()
        if leaves < 0.1:
            self._figures.left += 1
            line.sendall(data[: self._random.randrange(len(data))])
            return False
        line.sendall(data + (build_message(b"X") if leaves < 0.2 else b""))
        for batch in batches[: -1 if leaves < 0.3 else None]:
            if leaves >= 0.2:
                self._compare(batch, _read_batch(said))
        return leaves >= 0.3

    def _make_batch(self) -> _PipelineBatch:
        fails = self._random.random() < 0.2
        tags = [self._tag() for _ in range(self._random.randint(1, 3))]
        texts = [f"SELECT '{tag}' FROM pg_sleep({self._random.choice([0, 0, 0.002])})" for tag in tags]
        if fails:
            texts.append(f"SELECT '{self._tag()}' WHERE 1 / (random() * 0)::int = 1")
            texts.append(f"SELECT '{self._tag()}'")
        if self._random.random() < 0.3 and not fails:
            texts = ["BEGIN", *texts, "COMMIT"]
        return _PipelineBatch(b"".join(map(_make_statement, texts)) + build_message(b"S"), tags, fails)

    def _tag(self) -> str:
        self._serial += 1
        return f"{self._number}.{self._serial}"

    def _compare(self, batch: _PipelineBatch, found: tuple[list[str], int]) -> None:
        if found != (batch.values, int(batch.fails)):
            self._figures.wrong.append(f"{found} instead of {batch.values}")
        self._figures.answered += len(batch.values)
        self._figures.failed += batch.fails


def _make_statement(text: str) -> bytes:
    return (
        build_message(b"P", b"\0" + text.encode() + b"\0\0\0")
        + build_message(b"B", bytes(8))
        + build_message(b"E", bytes(5))
    )


def _read_messages(line: socket.socket) -> Iterator[ProtocolMessage]:
    framer = MessageReader()
    while data := line.recv(65536):
        yield from framer.feed(data)


def _read_batch(said: Iterator[ProtocolMessage]) -> tuple[list[str], int]:
    """Return the values up to the next ReadyForQuery, and how many errors were among them."""
    values, errors = [], 0
    for each in said:
        if each.kind == b"D":
            values.append(each.body[6:].decode())
        errors += each.kind == b"E"
        if each.kind == b"Z":
            break
    return values, errors
