"""`python -m local.gateway`: the HTTP server, the runtime behind it, and the event sources beside it."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import uvloop

from local.dashboard.widgets import Dashboard, load_dashboard
from local.front.collector import FrontCollector
from local.front.database import DatabaseReader
from local.front.emulator_reader import EmulatorReader
from local.front.routes import FrontRoutes
from local.gateway.access_log import AccessLog
from local.gateway.authorizer import Authorizer
from local.gateway.http_fetch import fetch
from local.gateway.local_routes import LocalRoutes
from local.gateway.request_pipeline import BODY_LIMIT, RequestPipeline
from local.gateway.restarting_process import RestartingProcess
from local.http_server import HttpRequest, HttpResponse, serve
from local.inbox.messages import PATH, InboxMessage, parse_messages
from local.runtime.logs import FunctionLog
from local.runtime.variables import RuntimePlatform, VariableOverride, override_variables
from local.runtime.versions import FunctionFleet
from local.stack import Stack

ROOT = Path(__file__).parents[2]
REGION = "eu-central-1"
DRAIN_S = 1.5  # how long running requests may go on after a request to stop, their event sources' batches included


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.gateway", description=__doc__)
    parser.add_argument("--stack", type=Path, required=True, help="the deployed stack, as JSON")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--logs", type=Path, required=True, help="folder of the functions' logs")
    parser.add_argument(
        "--variable",
        type=VariableOverride.parse,
        action="append",
        default=[],
        help="[FunctionLogicalId:]NAME=VALUE, more for the functions' environment",
    )
    parser.add_argument("--database-proxy", default="", help="address of the control port of the database's proxy")
    parser.add_argument("--database", default="", help="how the front page reaches the database, as its owner")
    parser.add_argument("--minute", type=float, default=60.0, help="seconds that stand for a minute of AWS's metrics")
    parser.add_argument(
        "--lambda-python", default=str(ROOT / ".venvs/lambda/bin/python"), help="Python with awslambdaric"
    )
    return parser.parse_args()


class Gateway:
    """All parts of the gateway, connected."""

    def __init__(self, stack: Stack, options: argparse.Namespace) -> None:
        self._stack = stack
        self._options = options
        platform = RuntimePlatform(options.lambda_python, stack.endpoint_url, os.environ.get("AWS_REGION", REGION))
        functions = override_variables(stack.functions, options.variable)
        self._environments = FunctionFleet(functions, platform, lambda name: FunctionLog(options.logs / f"{name}.log"))
        self._local_routes = LocalRoutes(
            self._environments, self._read_inbox, self._load_dashboard, self._read_status, self._make_front()
        )
        self._events: RestartingProcess | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raise OSError if the port is taken."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        server = await serve(self._handle, port=self._options.port, max_body=BODY_LIMIT)
        self._port = server.port
        access_log = AccessLog(self._stack.access_log_format, FunctionLog(self._options.logs / "access.log"))
        authorizer = Authorizer(self._stack, fetch)
        self._pipeline = RequestPipeline(
            self._stack, self._environments, authorizer, port=server.port, access_log=access_log
        )
        if self._stack.queue_sources or self._stack.schedules:
            self._events = RestartingProcess(
                self._build_events_command(server.port), FunctionLog(self._options.logs / "events.log")
            )
            await self._events.start()
        print(f"listening http://127.0.0.1:{server.port}", flush=True)
        await stop.wait()
        deadline = asyncio.get_running_loop().time() + DRAIN_S
        if self._events:
            await self._events.stop()
        server.stop_accepting()
        await self._drain(deadline)
        self._environments.close()

    async def _handle(self, request: HttpRequest) -> HttpResponse:
        if self._local_routes.is_local_path(request.path):
            return await self._local_routes.handle(request)
        return await self._pipeline.handle(request)

    def _make_front(self) -> FrontRoutes:
        stack, options = self._stack, self._options
        collector = FrontCollector(
            options.logs,
            self._environments,
            self._read_inbox,
            DatabaseReader(options.database),
            EmulatorReader(stack.endpoint_url),
        )
        return FrontRoutes(stack, collector, lambda: self._port, self._handle)

    async def _drain(self, deadline: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self._environments.in_flight:
                    await asyncio.sleep(0.02)

    async def _read_inbox(self) -> list[InboxMessage]:
        return parse_messages(await fetch(self._stack.endpoint_url + PATH))

    async def _load_dashboard(self, range_s: float) -> Dashboard:
        return await asyncio.to_thread(self._load_dashboard_now, range_s)

    def _load_dashboard_now(self, range_s: float) -> Dashboard:
        # Imported at the first view, so that botocore doesn't delay the gateway's start.
        from local.deploy import STACK_NAME
        from local.events.cloudwatch import CloudWatch, MetricsRejected

        cloudwatch, now = CloudWatch(self._stack.endpoint_url, os.environ.get("AWS_REGION", REGION)), time.time()
        try:
            return load_dashboard(cloudwatch, STACK_NAME, start=now - range_s, end=now)
        except MetricsRejected as error:
            raise OSError(str(error)) from error

    def _read_status(self) -> dict[str, object]:
        functions = {name: pool.read_status() for name, pool in self._environments.pools.items()}
        return {"pid": os.getpid(), "events_pid": self._events and self._events.pid, "functions": functions}

    def _build_events_command(self, port: int) -> list[str]:
        command = [sys.executable, "-m", "local.events", "--invoke", f"http://127.0.0.1:{port}"]
        command += ["--database-proxy", self._options.database_proxy, "--minute", str(self._options.minute)]
        return [*command, "--stack", str(self._options.stack.resolve()), "--logs", str(self._options.logs.resolve())]


def main() -> int:
    """Return 0 after an orderly stop, 1 if the port is taken or the stack or an option can't be used."""
    options = parse_arguments()
    try:
        uvloop.run(Gateway(Stack.load(options.stack), options).run())
    except (OSError, ValueError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
