"""The starter of the runtime in a container of `sam local`, with the stack's two ports on its own 127.0.0.1.

A build for `sam local` has this file in the layer, and AWS_LAMBDA_EXEC_WRAPPER names it (a "wrapper script" of Lambda's
runtimes): it is called with the command that starts the runtime. It imports the standard library alone.

It listens at the ports that the function's environment names, of which a function without a database has one. It
forwards each connection to a Unix socket in the function's code, which `sam local` mounts: `make sam-local` listens
there (local/sam/forwarder.py). Where no socket passes from this machine into containers, as with Docker Desktop,
host.docker.internal leads to its 127.0.0.1.
"""

import asyncio
import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

EMULATOR, DATABASE = "emulator.sock", "database.sock"  # in the folder of each function's code
HERE = "127.0.0.1"
DESKTOP = "host.docker.internal"
CHUNK = 65_536
POLL_S = 0.5  # how soon the ports are closed after the runtime has ended
BIND_S = 5.0  # a runtime that is started again waits for the ports of the one before


def main(command: list[str]) -> None:
    """Listen in a process of its own, and become the runtime. Raise OSError if a port is taken."""
    ports = read_ports(os.environ)
    listeners = {name: open_port(port) for name, port in ports.items()}
    runtime = os.getpid()
    if os.fork() == 0:
        asyncio.run(serve_runtime(runtime, listeners, Path(os.environ["LAMBDA_TASK_ROOT"])))
    else:
        os.execvp(command[0], command)  # noqa: S606 - it needs no shell


def read_ports(environment: Mapping[str, str]) -> dict[str, int]:
    """Return the stack's ports that a function's environment names, by socket: both, one or none."""
    ports = {
        EMULATOR: urlsplit(environment.get("AWS_ENDPOINT_URL", "")).port,
        DATABASE: int(environment.get("DB_PORT") or 0),
    }
    return {name: port for name, port in ports.items() if port}


def open_port(port: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1, when the port is free. Raise OSError if it stays taken."""
    deadline = time.monotonic() + BIND_S
    while True:
        try:
            return socket.create_server((HERE, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


async def serve_runtime(runtime: int, listeners: Mapping[str, socket.socket], folder: Path) -> None:
    """Forward the connections of a runtime, whose process is the parent, to the sockets of a folder until it ends."""
    servers = [
        await asyncio.start_server(StackConnector(folder / name, listener.getsockname()[1]), sock=listener)
        for name, listener in listeners.items()
    ]
    while os.getppid() == runtime:
        await asyncio.sleep(POLL_S)
    for server in servers:
        server.close()


class StackConnector:
    """The forwarder of one port's connections to the stack."""

    def __init__(self, path: Path, port: int) -> None:
        self._path = path
        self._port = port

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection, to its end."""
        with contextlib.closing(writer), contextlib.suppress(OSError):
            there, here = await self._connect()
            with contextlib.closing(here):
                await asyncio.gather(copy(reader, here), copy(there, writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(self._path)
        except OSError:
            return await asyncio.open_connection(DESKTOP, self._port)


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy what comes until there is no more, then say so to the other side."""
    while chunk := await source.read(CHUNK):
        target.write(chunk)
        await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()


if __name__ == "__main__":
    main(sys.argv[1:])
