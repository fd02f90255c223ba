"""A proxy that loses answers: it forwards a request, waits for the answer, and then closes the connection."""

import http.client
import itertools
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

# Headers of one connection, which a proxy does not pass on (RFC 9110, 7.6.1), and the length, which is written anew.
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"})
# With a linger of 0 s a close is a reset, as when a machine in between has died.
RESET = struct.pack("ii", 1, 0)


@dataclass
class LossyProxy:
    """`url` leads through it; `lost` are the requests whose answers it has kept to itself: of those that it answers,
    every one, or only each `every`th.
    """

    url: str
    loses: bool = True
    every: int = 1
    lost: list[str] = field(default_factory=list)
    _count: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def loses_next(self) -> bool:
        """Return whether the next answer is lost."""
        return self.loses and next(self._count) % self.every == 0


@contextmanager
def run_lossy_proxy(upstream: str, *, every: int = 1) -> Iterator[LossyProxy]:
    """Run a proxy to `upstream` for as long as the block lasts; it loses each `every`th answer."""
    target = urlsplit(upstream).netloc
    proxy = LossyProxy("", every=every)

    class ForwardingHandler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            there = http.client.HTTPConnection(target, timeout=60)
            there.request(self.command, self.path, body, dict(self.headers.items()))
            answer = there.getresponse()
            content = answer.read()
            there.close()
            if proxy.loses_next():
                proxy.lost.append(f"{self.command} {self.path} {answer.status}")
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.connection.close()
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815 - as the base class names them

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, ValueError):  # the line was cut under it
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), ForwardingHandler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
