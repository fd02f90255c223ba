"""The load generator: sends each call when it is due, whatever happens to the others, and measures its own delay.

Open loop: a call's latency counts from the moment it was due. Closed loops wait for slow answers, and so send less when
it matters most (G. Tene, "How NOT to Measure Latency", 2013). Sockets, HTTP and keep-alive are aiohttp's; no Python
load tool was found that is open loop and can choose its source addresses.
"""

import asyncio
import copy
import gc
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from stress.ledger import NO_ANSWER, CallLedger, CallSample, PlannedCall

TIMEOUT_S = 35.0  # longer than API Gateway's own 29
LEAD_S = 0.05  # between planning a burst and its instant, so that the tasks are ready
RETRY_AFTER_S = 0.5  # for answers without Retry-After
CONTENT_HEADERS = ("Content-Type", "ETag", "Location")  # what else an answer's content is known by


class RunClock:
    """Seconds since the run began."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def read_now(self) -> float:
        """Return the present time."""
        return time.perf_counter() - self._began

    async def wait_until(self, moment: float) -> None:
        """Return at a moment, or at once if it has passed."""
        await asyncio.sleep(max(0.0, moment - self.read_now()))


class ConnectionEnded(aiohttp.ClientError):
    """The connection of a call ended before its answer."""


async def _send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a call once: aiohttp would silently repeat a read whose connection ended."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionEnded from error


class LoadGenerator:
    """The sender of calls to one API; each client address has its own connections. `on_sample` gets every sample."""

    def __init__(self, api: str, ledger: CallLedger, clock: RunClock, on_sample: Callable[[CallSample], None]) -> None:
        self.api = api
        self.clock = clock
        self.scenario = "setup"
        self._ledger = ledger
        self._on_sample = on_sample
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._ended: Counter[str] = Counter()  # calls of each scenario, whatever the ledger has of them
        self._stall_s = 0.0

    def copy_for_scenario(self, scenario: str) -> "LoadGenerator":
        """Return a generator for another scenario's calls, on the same connections."""
        other = copy.copy(self)
        other.scenario = scenario
        return other

    async def send(self, call: PlannedCall, at: float | None = None, attempt: int = 1) -> CallSample:
        """Make a call when it is due, and record the sample."""
        meant = self.clock.read_now() if at is None else at
        await self.clock.wait_until(meant)
        self._stall()
        session, trace = self._get_session(call.client), SimpleNamespace(sent_s=None)
        try:
            async with session.request(
                call.method,
                self.api + call.path,
                json=call.body,
                headers=_build_headers(call),
                allow_redirects=False,
                trace_request_ctx=trace,
            ) as reply:
                text = await reply.read()
            answer = _read_answer(reply, text)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            answer = {"status": NO_ANSWER, "problem": type(error).__name__}
        done = self.clock.read_now()
        sent = trace.sent_s if trace.sent_s is not None else done
        sample = CallSample(self.scenario, call, meant, sent, done, attempt=attempt, api=self.api, **answer)
        self._ended[self.scenario] += 1
        self._ledger.note(sample)
        self._on_sample(sample)
        return sample

    def prepare(self, calls: Iterable[PlannedCall]) -> None:
        """Create each client's session before it is time to send."""
        for call in calls:
            self._get_session(call.client)

    async def send_burst(self, calls: Sequence[PlannedCall]) -> list[CallSample]:
        """Send all calls at the same instant, on connections that were opened before."""
        await self._open_connections(calls)
        with disable_garbage_collection():
            at = self.clock.read_now() + LEAD_S
            return await asyncio.gather(*(self.send(call, at) for call in calls))

    async def _open_connections(self, calls: Sequence[PlannedCall]) -> None:
        """Open a connection for each call: opening sixty, with TLS elsewhere, takes longer than sending the calls.

        Ignore failures: the calls themselves will meet a server that takes no connections.
        """
        opened = await asyncio.gather(*(self._open_connection(call.client) for call in calls), return_exceptions=True)
        for connection in opened:
            if isinstance(connection, BaseException):
                continue
            connection.release()

    async def _open_connection(self, address: str) -> Connection:
        """Return a connection of a client, open and unused. Raise aiohttp.ClientError, OSError, TimeoutError."""
        session = self._get_session(address)
        request = aiohttp.ClientRequest("GET", URL(self.api), loop=asyncio.get_running_loop())
        connector = session.connector
        assert connector is not None  # noqa: S101 - the session is open
        return await connector.connect(request, [], session.timeout)

    async def send_at_random(self, calls: Iterable[PlannedCall], rate: float, seed: int) -> list[CallSample]:
        """Send calls at random moments, `rate` a second on average, as independent users do (Poisson)."""
        dice, at, tasks = random.Random(seed), self.clock.read_now() + LEAD_S, []
        for call in calls:
            at += dice.expovariate(rate)
            tasks.append(asyncio.create_task(self.send(call, at)))
            await self.clock.wait_until(at - LEAD_S)
        return await asyncio.gather(*tasks)

    async def insist(self, call: PlannedCall, within_s: float = 60.0) -> CallSample:
        """Repeat a call with its key until it has an answer, as a patient client does; return the last sample."""
        until, attempt = self.clock.read_now() + within_s, 1
        while True:
            sample = await self.send(call, attempt=attempt)
            if not sample.is_undecided or self.clock.read_now() > until:
                return sample
            await asyncio.sleep(sample.retry_after_s or RETRY_AFTER_S)
            attempt += 1

    def count_ended(self) -> int:
        """Return how many calls of its scenario have ended, by a count of its own: the ledger must have all of them."""
        return self._ended[self.scenario]

    def stall(self, seconds: float) -> None:
        """Make the next send block for some seconds, to simulate a generator that can't keep time."""
        self._stall_s = seconds

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    def _stall(self) -> None:
        if self._stall_s:
            seconds, self._stall_s = self._stall_s, 0.0
            time.sleep(seconds)

    def _get_session(self, address: str) -> aiohttp.ClientSession:
        if address not in self._sessions:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(self._note_sent)
            # a remote target is reached from whatever address this machine has
            local = (address, 0) if self.api.startswith("http://127.") else None
            connector = aiohttp.TCPConnector(local_addr=local, limit=0)
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            self._sessions[address] = aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                trace_configs=[trace],
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=[_send_once],
            )
        return self._sessions[address]

    async def _note_sent(self, _session: object, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.sent_s = self.clock.read_now()


@contextmanager
def disable_garbage_collection() -> Iterator[None]:
    """Disable garbage collection within the block: the samples of a run are never garbage, and take long to scan."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _build_headers(call: PlannedCall) -> dict[str, str]:
    headers = dict(call.headers)
    if call.token:
        headers["Authorization"] = f"Bearer {call.token}"
    if call.key:
        headers["Idempotency-Key"] = call.key
    return headers


def _read_answer(reply: aiohttp.ClientResponse, text: bytes) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    record = record if isinstance(record, dict) else None
    retry_after = reply.headers.get("Retry-After")
    is_problem = reply.content_type == "application/problem+json"
    return {
        "status": reply.status,
        "problem": str((record or {}).get("type", "")).rpartition(":")[2] if is_problem else "",
        "record": record,
        "replayed": reply.headers.get("Idempotency-Replayed") == "true",
        "request_id": reply.headers.get("X-Request-Id", ""),
        "retry_after_s": float(retry_after) if retry_after and retry_after.isdigit() else None,
        "fingerprint": _compute_fingerprint(reply, text),
    }


def _compute_fingerprint(reply: aiohttp.ClientResponse, text: bytes) -> str:
    head = (str(reply.status), *(reply.headers.get(name, "") for name in CONTENT_HEADERS))
    return hashlib.sha256("\n".join(head).encode() + b"\n\n" + text).hexdigest()


async def run_limited(work: Iterable[Callable[[], Awaitable[Any]]], at_once: int) -> list[Any]:
    """Run all of it, at most `at_once` at a time; return the results in order."""
    places = asyncio.Semaphore(at_once)

    async def run_one(piece: Callable[[], Awaitable[Any]]) -> Any:
        async with places:
            return await piece()

    return await asyncio.gather(*(run_one(piece) for piece in work))
