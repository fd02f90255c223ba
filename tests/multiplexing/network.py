"""An event loop with virtual time and connections without sockets: nothing moves unless the schedule says so."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any, cast


class _VirtualSelector(selectors.DefaultSelector):
    """Advances the virtual clock where a loop would have slept."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


class SimulatedTransport(asyncio.Transport):
    """The proxy's end of a connection; the other end belongs to a simulated client or server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.outgoing = bytearray()  # written by the proxy, not yet at the peer
        self.incoming = bytearray()  # sent by the peer, not yet at the proxy
        self.read = 0  # bytes that the proxy has been given
        self.outgoing_ended = self.incoming_ended = False
        self.is_lost = False
        self.on_write: Callable[[], None] = lambda: None
        self._loop = loop
        self._closing = False
        self._protocol = cast("asyncio.Protocol", protocol)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_lost:
            self.on_write()
            self.outgoing += data

    def write_eof(self) -> None:
        self.outgoing_ended = True

    def is_closing(self) -> bool:
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def close(self) -> None:
        self.outgoing_ended = True
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self.outgoing.clear()
        self.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def pause_reading(self) -> None:
        """The proxy never asks for it."""

    def start(self) -> None:
        """Report to the protocol that it is connected."""
        self._protocol.connection_made(self)

    def deliver(self, most: int) -> None:
        """Give the proxy up to `most` of the bytes that the peer has sent, or the peer's end of file after all."""
        if self._closing:
            return
        data = bytes(self.incoming[:most])
        del self.incoming[:most]
        if data:
            self.read += len(data)
            self._run_guarded(lambda: self._protocol.data_received(data))
        elif self.incoming_ended and not self._protocol.eof_received():
            self.close()

    @property
    def is_moving(self) -> bool:
        """Return whether bytes, or an end of file, are under way."""
        return bool(self.outgoing) or (not self._closing and (bool(self.incoming) or self.incoming_ended))

    def reset(self) -> None:
        """The peer's end is gone, with all that was under way."""
        self.incoming.clear()
        self.outgoing.clear()
        if not self._closing:
            self._closing = True
            self._lose(ConnectionResetError())

    def take(self, most: int) -> bytes:
        """Take up to `most` of the bytes that have come to the peer."""
        data = bytes(self.outgoing[:most])
        del self.outgoing[:most]
        return data

    def _lose(self, error: Exception | None) -> None:
        if not self.is_lost:
            self.is_lost = True
            self._run_guarded(lambda: self._protocol.connection_lost(error))

    def _run_guarded(self, act: Callable[[], None]) -> None:
        """Report an exception of a protocol and abort its connection, as asyncio does."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - reported to the loop's handler, which the test looks at
            self._loop.call_exception_handler({"message": f"{self._protocol!r}: {error!r}", "exception": error})
            self.abort()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs one iteration when it is asked to; `accept` gets the connections that are opened from within."""

    def __init__(self, accept: Callable[[int, SimulatedTransport], None]) -> None:
        self._clock = _VirtualSelector()
        super().__init__(self._clock)
        self._accept = accept
        self.crashes: list[str] = []
        self.set_exception_handler(lambda _loop, context: self.crashes.append(str(context)))

    def time(self) -> float:
        return self._clock.now

    def run_once(self) -> None:
        """Run what is due now, once."""
        self.call_soon(self.stop)
        self.run_forever()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._clock.now += seconds
        self.run_once()

    async def create_connection(  # type: ignore[override]
        self, factory: Callable[[], asyncio.BaseProtocol], host: str, port: int, **_more: object
    ) -> tuple[SimulatedTransport, asyncio.BaseProtocol]:
        """Open a connection to a simulated server. Raises ConnectionRefusedError where `accept` does."""
        assert host == "127.0.0.1"
        protocol = factory()
        end = SimulatedTransport(self, protocol)
        self._accept(port, end)
        end.start()
        await asyncio.sleep(0)
        return end, protocol
