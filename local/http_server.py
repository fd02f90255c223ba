"""A small HTTP/1.1 server on httptools, with only what the gateway and the Runtime API both need.

A body is read completely before the handler runs, as in API Gateway. Requests of one connection are handled one after
the other.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

import httptools

DRAIN_LIMIT = 64 * 1024 * 1024  # bytes discarded so that a client sees its 413; above it the connection is closed
HEAD_LIMIT = 64 * 1024  # bytes of request line and headers that a connection may send
BODILESS = frozenset({204, 304})
LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost)(?::\d+)?")
REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class HttpRequest:
    """One request. `path` and `query` are as sent (percent-encoded), header names keep their case.

    `peer` is the client's address; `head_bytes` counts request line and headers; `body` is empty if
    `body_too_large`.
    """

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    peer: str
    version: str = "1.1"
    body: bytes = b""
    head_bytes: int = 0
    body_too_large: bool = False

    def find_header(self, name: str) -> str | None:
        """Return the last value of a header, by its lower-case name; None if there is none."""
        return next((value for key, value in reversed(self.headers) if key.lower() == name), None)


@dataclass(slots=True)
class HttpResponse:
    """One response; Content-Length, Date and Connection are added when it is encoded."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


def is_from_this_machine(request: HttpRequest) -> bool:
    """Return whether a program or person on this machine sent it, not a web page of another site."""
    host, origin = request.find_header("host") or "", request.find_header("origin")
    # The front page's forms have its own origin. The host is checked too: any site's name may resolve to this machine.
    return bool(LOOPBACK.fullmatch(host)) and (request.method == "GET" or origin in (None, "", f"http://{host}"))


def encode_response(response: HttpResponse, *, method: str, keep_alive: bool) -> bytes:
    """Return the bytes of a response; to HEAD with the length of the body, if it is known, and without the body."""
    lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    lines.append(f"Date: {formatdate(usegmt=True)}")
    is_length_known = bool(response.body) or method != "HEAD"
    if response.status not in BODILESS and is_length_known:
        lines.append(f"Content-Length: {len(response.body)}")
    if not keep_alive:
        lines.append("Connection: close")
    head = "\r\n".join([*lines, "\r\n"]).encode("latin-1", "replace")
    bare = method == "HEAD" or response.status in BODILESS
    return head if bare else head + response.body


class HttpConnection(asyncio.Protocol):
    """One client connection. It calls `handler` for each request, in order."""

    def __init__(self, handler: Handler, *, max_body: int, open_connections: "set[HttpConnection]") -> None:
        self._handler = handler
        self._max_body = max_body
        self._open = open_connections
        self._waiting: deque[tuple[HttpRequest, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._peer = (transport.get_extra_info("peername") or ("",))[0]
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection and the requests that wait on it."""
        self._open.discard(self)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; respond with 400 to what is not HTTP."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # declined by an ordinary response, after which the connection is closed
        except (httptools.HttpParserError, ValueError):
            self._refuse(HTTPStatus.BAD_REQUEST)

    # the parser's callbacks, in the order of a message

    def on_message_begin(self) -> None:
        """Reset the fields of the message."""
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """Append a piece of the URL."""
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Append a header."""
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))
        self._count_head(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """Send 100 Continue if the client waits for it."""
        if any(n.lower() == "expect" and v.lower() == "100-continue" for n, v in self._headers):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body; above the limits discard it, and close the connection."""
        self._size += len(body)
        if self._size <= self._max_body:
            self._body.append(body)
        elif self._size > DRAIN_LIMIT:
            self._transport.abort()

    def on_message_complete(self) -> None:
        """Queue the request and start to handle requests."""
        path, _, query = self._url.decode("latin-1").partition("?")
        too_large = self._size > self._max_body
        request = HttpRequest(
            method=self._parser.get_method().decode("ascii"),
            path=path,
            query=query,
            headers=self._headers,
            peer=self._peer,
            version=self._parser.get_http_version(),
            body=b"" if too_large else b"".join(self._body),
            head_bytes=self._head_bytes,
            body_too_large=too_large,
        )
        keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._waiting.append((request, keep_alive))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run_requests())
        else:
            self._transport.pause_reading()  # a pipelining client waits for its own responses

    def close_idle(self) -> None:
        """Close the connection if no request is being handled on it."""
        if self._task is None:
            self._transport.close()

    async def _run_requests(self) -> None:
        while self._waiting:
            request, keep_alive = self._waiting.popleft()
            try:
                response = await self._handler(request)
            except BaseException:
                self._transport.abort()  # the client must not wait for a response that will not come
                raise
            if self._transport.is_closing():
                break
            self._transport.write(encode_response(response, method=request.method, keep_alive=keep_alive))
            if not keep_alive:
                self._transport.close()
                break
        self._task = None
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_LIMIT:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _refuse(self, status: HTTPStatus) -> None:
        if self._transport.is_closing():
            return
        body = b'{"message":"%s"}' % status.phrase.encode()
        answer = HttpResponse(status, [("Content-Type", "application/json")], body)
        self._transport.write(encode_response(answer, method="GET", keep_alive=False))
        self._transport.close()


class HttpServer:
    """A listening socket on loopback. `port` is the one really bound."""

    def __init__(self, listener: asyncio.Server, connections: set[HttpConnection]) -> None:
        self._listener = listener
        self._connections = connections
        self.port: int = listener.sockets[0].getsockname()[1]

    def stop_accepting(self) -> None:
        """Accept no new connection and close the idle ones; running requests go on."""
        self._listener.close()
        for connection in list(self._connections):
            connection.close_idle()


async def serve(handler: Handler, *, port: int, max_body: int) -> HttpServer:
    """Listen on 127.0.0.1 (`port` 0: any free one). Raise OSError if the port is taken."""
    connections: set[HttpConnection] = set()
    listener = await asyncio.get_running_loop().create_server(
        lambda: HttpConnection(handler, max_body=max_body, open_connections=connections),
        "127.0.0.1",
        port,
        backlog=1024,
    )
    return HttpServer(listener, connections)
