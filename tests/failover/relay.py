"""A TCP relay whose address stays when the writer changes, as that of a cluster's endpoint or a proxy does.

It can also go silent: what it was connected to is still there, and nothing of it comes through.
"""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

CHUNK = 65536


class TcpRelay:
    """Listens on `port` of loopback and leads to the port `target`; `made` counts the connections it has led there."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.made = 0
        self._heard = sys.maxsize
        self._loop = asyncio.new_event_loop()
        self._lines: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._asking, self._answering = self._do(self._list_barriers())
        self._server = self._do(asyncio.start_server(self._forward_client, "127.0.0.1", 0, backlog=256))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def retarget(self, target: int, *, cut: bool = True) -> None:
        """Lead elsewhere from now; `cut` ends the connections there are, as a proxy does and a name does not."""
        self.target = target
        if cut:
            self.cut()

    def cut(self) -> None:
        """End every connection."""
        self._call_soon(self._abort)

    def hold_all(self) -> None:
        """Take connections from now on, but hold all that is sent on them."""
        self._call_soon(self._asking.clear)
        self.hold_answers()

    def hold_answers(self) -> None:
        """Forward requests from now on, but hold the answers."""
        self._call_soon(self._answering.clear)

    def pass_only(self, messages: int) -> None:
        """From now on forward only `messages` messages of each client: the first is its name, the next its request."""
        self._heard = messages

    def release(self) -> None:
        """End the silence; what waited goes on, unless its connection was cut."""
        self._heard = sys.maxsize
        self._call_soon(self._asking.set)
        self._call_soon(self._answering.set)

    def close(self) -> None:
        """Stop listening and end every connection."""
        self.cut()
        self._call_soon(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _abort(self) -> None:
        for line in self._lines:
            line.transport.abort()

    async def _list_barriers(self) -> tuple[asyncio.Event, asyncio.Event]:
        gates = asyncio.Event(), asyncio.Event()
        for gate in gates:
            gate.set()
        return gates

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _call_soon(self, act: Callable[[], object]) -> None:
        async def take_effect() -> None:
            act()

        self._do(take_effect())

    async def _forward_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines.add(writer)
        try:
            await self._asking.wait()
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self.made += 1
            self._lines.add(there_writer)
            await asyncio.gather(
                self._pump(self._count_requests(reader), there_writer, self._asking),
                self._pump(_read_chunks(there_reader), writer, self._answering),
            )
            self._lines.discard(there_writer)
        except OSError:
            writer.transport.abort()
        finally:
            self._lines.discard(writer)

    async def _count_requests(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        heard = 0
        async for data in _read_chunks(reader):
            heard += 1
            if heard <= self._heard:
                yield data

    async def _pump(self, source: AsyncIterator[bytes], sink: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        with suppress(OSError):
            async for data in source:
                await gate.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


async def _read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await reader.read(CHUNK):
        yield data


@contextmanager
def relay_to(target: int) -> Iterator[TcpRelay]:
    """Run a relay, closed when the block ends."""
    relay = TcpRelay(target)
    try:
        yield relay
    finally:
        relay.close()
