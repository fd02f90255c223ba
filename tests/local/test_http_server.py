"""The HTTP server of the gateway and the Runtime API, as clients meet it on a socket that they hold themselves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from local import http_server
from local.http_server import HttpRequest, HttpResponse, HttpServer, serve

T = TypeVar("T")
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\n"
CLOSE = b"Connection: close\r\n"
PATIENCE_S = 5.0


class Answering:
    """A handler that keeps what it was asked, and waits if asked to."""

    def __init__(self) -> None:
        self.seen: list[HttpRequest] = []
        self.released = asyncio.Event()

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer "ok"; late for /late, not at all for /broken."""
        self.seen.append(request)
        if request.path == "/late":
            await self.released.wait()
        if request.path == "/broken":
            raise ConnectionError("the handler gave up")
        return HttpResponse(200, [], b"ok")


def run_with_server(talk: Callable[[HttpServer, Answering], Awaitable[T]]) -> T:
    """Return what comes of talking to a server, which has to happen within some seconds."""

    async def scenario() -> T:
        answering = Answering()
        server = await serve(answering, port=0, max_body=1000)
        async with asyncio.timeout(PATIENCE_S):
            found = await talk(server, answering)
        server.stop_accepting()
        return found

    return asyncio.run(scenario())


async def connect(server: HttpServer, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect and send something."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    return reader, writer


async def read_until_closed(server: HttpServer, sent: bytes) -> bytes:
    """Return all that the server says to something until it closes the connection; nothing of a connection it cuts."""
    reader, writer = await connect(server, sent)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def exchange_bytes(sent: bytes) -> tuple[bytes, list[HttpRequest]]:
    """Return what a server says to something until it closes the connection, and the requests it has read."""

    async def talk(server: HttpServer, answering: Answering) -> tuple[bytes, list[HttpRequest]]:
        return await read_until_closed(server, sent), answering.seen

    return run_with_server(talk)


def test_a_request_is_what_was_sent() -> None:
    """Path and query stay encoded, header names keep their case, their order and each of their values."""
    head = b"GET /a%2Fb?x=%20&x HTTP/1.1\r\nHost: a\r\nX-Many: 1\r\nx-many: 2\r\nConnection: close\r\n"
    _, [request] = exchange_bytes(head + b"\r\n")
    assert (request.method, request.path, request.query, request.version) == ("GET", "/a%2Fb", "x=%20&x", "1.1")
    assert request.headers == [("Host", "a"), ("X-Many", "1"), ("x-many", "2"), ("Connection", "close")]
    assert request.find_header("x-many") == "2"


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it() -> None:
    """curl waits a second before it sends a body over a megabyte without it."""

    async def talk(server: HttpServer, _answering: Answering) -> tuple[bytes, bytes]:
        reader, writer = await connect(server, POST + CLOSE + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        leave = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"{}")
        answer = await reader.read()
        writer.close()
        return leave, answer

    leave, answer = run_with_server(talk)
    assert leave == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_many_small_headers_are_as_much_as_a_large_one() -> None:
    """The limit is for all of them together; whoever exceeds it is answered at once, not at the end."""
    answer, seen = exchange_bytes(GET + b"X: 1234567890\r\n" * (http_server.HEAD_LIMIT // 15 + 10))
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert seen == []


def test_a_body_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read to the end so that its client sees the 413, but not for ever."""
    monkeypatch.setattr(http_server, "DRAIN_LIMIT", 5000)
    answer, seen = exchange_bytes(POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 6000)
    assert (answer, seen) == (b"", [])


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: -2\r\n",
        b"Content-Length: 0x2\r\n",
        b"Content-Length : 2\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"X-Split: a\rX-Other: b\r\n",
        b"X-Nul: a\0b\r\n",
    ],
    ids=repr,
)
def test_a_request_that_two_servers_could_read_in_two_ways_is_refused(head: bytes) -> None:
    """One server might read as the next request what another reads as the body."""
    answer, seen = exchange_bytes(POST + head + b"\r\n{}")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert seen == []


@pytest.mark.parametrize(
    ("head", "is_kept"),
    [
        (b"GET /a HTTP/1.1\r\nHost: a\r\n", True),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", False),
        (b"GET /a HTTP/1.0\r\n", False),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_a_connection_is_kept_open_if_the_client_wants_it(head: bytes, is_kept: bool) -> None:
    """HTTP/1.1 keeps it by default, HTTP/1.0 only if asked to; the last answer says that it is the last."""

    async def talk(server: HttpServer, answering: Answering) -> tuple[bytes, int]:
        reader, writer = await connect(server, head + b"\r\n")
        first = await reader.readuntil(b"ok")
        writer.write(head + b"\r\n")
        await reader.read(1)
        writer.close()
        return first, len(answering.seen)

    first, answered = run_with_server(talk)
    assert answered == (2 if is_kept else 1)
    assert (b"Connection: close" in first) == (not is_kept)


def test_a_handler_that_fails_ends_the_connection() -> None:
    """The client does not wait for an answer that will not come."""
    answer, [request] = exchange_bytes(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer, request.path) == (b"", "/broken")


def test_a_stop_ends_idle_connections_and_lets_calls_under_way_end() -> None:
    """Nobody new is let in."""

    async def talk(server: HttpServer, answering: Answering) -> tuple[bytes, bytes, bool]:
        idle, idle_writer = await connect(server, GET + b"\r\n")
        await idle.readuntil(b"ok")
        busy, busy_writer = await connect(server, b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        while len(answering.seen) < 2:
            await asyncio.sleep(0.01)
        server.stop_accepting()
        rest = await idle.read()
        try:
            await connect(server, b"")
            refused = False
        except ConnectionRefusedError:
            refused = True
        answering.released.set()
        answer = await busy.readuntil(b"ok")
        idle_writer.close()
        busy_writer.close()
        return rest, answer, refused

    rest, answer, refused = run_with_server(talk)
    assert rest == b""
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert refused
