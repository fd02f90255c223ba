"""A small real server on loopback, and a load generator that sends to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from stress.ledger import CallLedger, CallSample
from stress.load_generator import LoadGenerator, RunClock

PROBLEM = "application/problem+json"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def respond_created(**record: Any) -> web.Response:
    """Answer that the work was done."""
    return web.json_response(record or {"id": "1"}, status=201)


def respond_problem(status: int, name: str, **headers: str) -> web.Response:
    """Return an RFC 9457 problem."""
    body = json.dumps({"type": f"urn:interdomestik:problem:{name}", "status": status})
    return web.Response(text=body, status=status, content_type=PROBLEM, headers=headers)


def cut_connection(request: web.BaseRequest) -> web.Response:
    """End the line without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _read_peer(request: web.BaseRequest) -> tuple[str, int]:
    assert request.transport is not None
    host, port = request.transport.get_extra_info("peername")
    return host, port


@dataclass
class LoadGeneratorSetup:
    """The server's side and the generator's: what was asked, from where, and what came of it."""

    generator: LoadGenerator
    ledger: CallLedger
    heard: list[CallSample]
    requests: list[web.BaseRequest] = field(default_factory=list)
    lines: list[tuple[str, int]] = field(default_factory=list)  # each request's address and port

    @property
    def keys(self) -> list[str | None]:
        """The Idempotency-Keys of all requests, in their order."""
        return [request.headers.get("Idempotency-Key") for request in self.requests]


@asynccontextmanager
async def run_server(handler: Handler) -> AsyncIterator[str]:
    """Run a server for as long as the block lasts; yield its origin."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def run_setup(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse] | web.StreamResponse],
) -> AsyncIterator[LoadGeneratorSetup]:
    """Run a generator of the scenario `setup` before a server that answers like this."""
    ledger, heard = CallLedger(), list[CallSample]()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        setup.requests.append(request)
        setup.lines.append(_read_peer(request))
        given = answer(request)
        return given if isinstance(given, web.StreamResponse) else await given

    async with run_server(handle) as origin:
        generator = LoadGenerator(origin, ledger, RunClock(), heard.append)
        setup = LoadGeneratorSetup(generator, ledger, heard)
        try:
            yield setup
        finally:
            await generator.close()


async def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(30):
        while not is_true():
            await asyncio.sleep(0.002)
