"""`python -m local.database_proxy`: the proxy in its own process, with its control port."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from local.certificates import ensure_certificates
from local.database_proxy.control import BODY_LIMIT, ControlPort
from local.database_proxy.proxy import BORROW_TIMEOUT_S, Proxy
from local.http_server import serve


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.database_proxy", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1 for clients; 0 takes a free one")
    parser.add_argument("--target", type=int, required=True, help="port on 127.0.0.1 of the database")
    parser.add_argument("--max-connections", type=int, required=True, help="open to the database at the same time")
    parser.add_argument("--borrow-timeout", type=float, default=BORROW_TIMEOUT_S, help="seconds a transaction waits")
    parser.add_argument("--certificates", type=Path, help="folder of certificates; with it nobody comes without TLS")
    parser.add_argument(
        "--control",
        type=int,
        required=True,
        help="port on 127.0.0.1 for statistics and fault switches; 0 takes a free one",
    )
    return parser.parse_args()


async def run(proxy: Proxy, control_port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raise OSError if a port is taken."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    proxy.start()
    control = await serve(ControlPort(proxy).handle, port=control_port, max_body=BODY_LIMIT)
    print(f"listening {proxy.port} control http://127.0.0.1:{control.port}", flush=True)
    await stop.wait()
    control.stop_accepting()
    proxy.stop()


def main() -> int:
    """Return 0 after an orderly stop, 1 if a port is taken."""
    options = parse_arguments()
    proxy = Proxy(
        options.target,
        port=options.port,
        max_connections=options.max_connections,
        borrow_timeout_s=options.borrow_timeout,
        tls=ensure_certificates(options.certificates).build_server_context() if options.certificates else None,
        loop=uvloop.new_event_loop(),
    )
    try:
        uvloop.run(run(proxy, options.control))
    except OSError as error:
        print(f"database proxy: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
