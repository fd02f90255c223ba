"""A proxy between a client and a server that delays what the client sends, and notes each round trip on the wire.

A round trip begins with the first byte that a client sends after what it received last, and ends with the last byte of
the server's answer. Two round trips are in sequence if the second begins after the end of the first.
"""

import queue
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock, Thread
from urllib.parse import urlsplit

CHUNK = 65_536
HEAD_BYTES = 2048  # have the headers of an HTTP request


@dataclass(slots=True)
class RoundTrip:
    """A round trip, in seconds of the monotonic clock; without an answer it ends as it begins."""

    began: float
    ended: float
    is_answered: bool = False
    head: bytes = b""  # the first bytes that the client has sent


@dataclass
class DelayingProxy:
    """`port` leads through it; every byte of a client arrives `delay_s` later."""

    port: int = 0
    delay_s: float = 0.0
    _trips: list[RoundTrip] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    @property
    def url(self) -> str:
        """Return the address of an HTTP server behind it."""
        return f"http://127.0.0.1:{self.port}"

    def take_trips(self) -> list[RoundTrip]:
        """Return the round trips since the last call, and forget them."""
        with self._lock:
            taken, self._trips = self._trips, []
        return taken

    def add_trip(self, trip: RoundTrip) -> None:
        """Note a round trip that has begun."""
        with self._lock:
            self._trips.append(trip)


@dataclass
class _Line:
    """A client's connection, with the round trip that it is in."""

    proxy: DelayingProxy
    client: socket.socket
    server: socket.socket
    trip: RoundTrip | None = None

    def start(self) -> None:
        arriving: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        for run in (lambda: self._read_client(arriving), lambda: self._send_on(arriving), self._read_server):
            Thread(target=run, daemon=True).start()

    def _read_client(self, arriving: "queue.SimpleQueue[tuple[float, bytes]]") -> None:
        while True:
            content = _receive(self.client)
            now = time.monotonic()
            if content and (self.trip is None or self.trip.is_answered):
                self.trip = RoundTrip(now, now, head=content[:HEAD_BYTES])
                self.proxy.add_trip(self.trip)
            arriving.put((now + self.proxy.delay_s, content))
            if not content:
                return

    def _send_on(self, arriving: "queue.SimpleQueue[tuple[float, bytes]]") -> None:
        while True:
            due, content = arriving.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not content:
                _close(self.server)
                return
            with suppress(OSError):
                self.server.sendall(content)

    def _read_server(self) -> None:
        while content := _receive(self.server):
            if self.trip is not None:
                self.trip.ended, self.trip.is_answered = time.monotonic(), True
            with suppress(OSError):
                self.client.sendall(content)
        _close(self.client)


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(CHUNK)
    except OSError:
        return b""


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def count_in_sequence(trips: Iterable[RoundTrip]) -> int:
    """Return how many of these round trips follow each other, at most: as long as that many a call takes at least."""
    count, last_end = 0, float("-inf")
    for trip in sorted(trips, key=lambda trip: trip.ended):
        if trip.began >= last_end:
            count, last_end = count + 1, trip.ended
    return count


@contextmanager
def run_delaying_proxy(target: int | str) -> Iterator[DelayingProxy]:
    """Run a proxy to a port or URL of this machine for as long as the block lasts."""
    port = target if isinstance(target, int) else urlsplit(target).port
    proxy = DelayingProxy()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.port = listener.getsockname()[1]
        Thread(target=_accept_lines, args=(listener, proxy, port), daemon=True).start()
        yield proxy
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _accept_lines(listener: socket.socket, proxy: DelayingProxy, port: int) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", port))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _Line(proxy, client, server).start()
