"""A way for containers to servers that listen on 127.0.0.1 alone: Unix sockets in the code that `sam local` mounts.

The other end is local/sam/container_wrapper.py. Nothing listens on another address than 127.0.0.1.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from local.sam.container_wrapper import HERE, copy


def run(build: Path, functions: Iterable[str], ports: Mapping[str, int]) -> None:
    """Forward connections from the containers of a build's functions to the ports of their sockets until Ctrl-C."""
    # Paths relative to the build, since that of a Unix socket has at most 107 bytes.
    with contextlib.chdir(build), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve({Path(function, name): port for function in functions for name, port in ports.items()}))


async def serve(sockets: Mapping[Path, int]) -> None:
    """Forward the connections of each socket to its port of 127.0.0.1 until it is cancelled."""
    servers = [await start_server(path, port) for path, port in sockets.items()]
    try:
        await asyncio.Event().wait()
    finally:
        for path, server in zip(sockets, servers, strict=True):
            server.close()  # not waited for: a connection that a container keeps would hold it open
            path.unlink(missing_ok=True)


async def start_server(path: Path, port: int) -> asyncio.Server:
    """Return a server at a socket, whose file a server before may have left."""
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(PortForwarder(port), path)
    path.chmod(0o666)  # a container's user may have another id; the ports too are open to each user of this machine
    return server


class PortForwarder:
    """The forwarder of connections to one port."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection, to its end."""
        with contextlib.closing(writer), contextlib.suppress(OSError):
            there, here = await asyncio.open_connection(HERE, self._port)
            with contextlib.closing(here):
                await asyncio.gather(copy(reader, here), copy(there, writer))
