"""A proxy that loses answers: it forwards a request, waits for the answer, and then closes the connection."""

import http.client
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

# With a linger of 0 s a close is a reset, as when a machine in between has died.
RESET = struct.pack("ii", 1, 0)


@dataclass
class LossyProxy:
    """`url` leads through it; `lost` are the requests whose answers it has kept to itself."""

    url: str
    loses: bool = True
    lost: list[str] = field(default_factory=list)


@contextmanager
def run_lossy_proxy(upstream: str) -> Iterator[LossyProxy]:
    """Run a proxy to `upstream` for as long as the block lasts."""
    target = urlsplit(upstream).netloc
    proxy = LossyProxy("")

    class ForwardingHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            there = http.client.HTTPConnection(target, timeout=10)
            there.request("POST", self.path, body, dict(self.headers.items()))
            answer = there.getresponse()
            content = answer.read()
            there.close()
            if proxy.loses:
                proxy.lost.append(f"{self.path} {answer.status}")
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.connection.close()
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

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
