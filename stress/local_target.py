"""The system that is driven: a local cloud of the harness's own that can be broken. HTTP and SQL only."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from stress.alarms import AlarmReader
from stress.aws_access import AwsAccess
from stress.processes import find_free_port, start, stop

START_S = 180.0
CRASH_S = 10.0
CRASH_POLL_S = 0.001
SUPERUSER, DATABASE = "postgres", "interdomestik"
STAFF_MAILBOX = "desk@interdomestik.test"
# The predecessor sends through the same SES; its mails are not the system's.
PREDECESSORS_SENDER = "before@interdomestik.test"


class TargetStartError(Exception):
    """The local cloud did not start; the message has its output."""


@dataclass(frozen=True)
class CloudOptions:
    """The configuration of a local cloud: template parameters, variables of functions, and flags of `up`."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    flags: Sequence[str] = ()

    def build_arguments(self) -> list[str]:
        """Return the arguments of the command line."""
        parameters = [part for name, value in self.parameters.items() for part in ("--parameter", f"{name}={value}")]
        variables = [part for name, value in self.variables.items() for part in ("--variable", f"{name}={value}")]
        return [*parameters, *variables, *self.flags]


class JsonClient:
    """A client for small JSON calls to the harness's own helpers, on other connections than the generator's."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, method: str, url: str, document: object = None) -> Any:
        """Return a call's JSON answer. Raise aiohttp.ClientError."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        async with self._session.request(method, url, json=document) as reply:
            return json.loads(await reply.read() or b"null")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


class LocalCloud:
    """A local cloud with its state in `folder`, run from the checkout `root`."""

    def __init__(self, root: Path, folder: Path, options: CloudOptions) -> None:
        self.root = root
        self.folder = folder
        self.origin = ""
        self.ports: dict[str, int] = {}
        self.http = JsonClient()
        self._options = options
        self._mail_port, self._mail_control_port = find_free_port(), find_free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def api(self) -> str:
        """Return the API's base path."""
        return f"{self.origin}/api"

    @property
    def emulator(self) -> str:
        """Return the endpoint of every AWS service."""
        return f"http://127.0.0.1:{self.ports['emulator']}"

    @property
    def mail_line(self) -> str:
        """Return the endpoint of SES behind the mail proxy, which every mail passes."""
        return f"http://127.0.0.1:{self._mail_port}"

    async def start(self) -> None:
        """Start with an empty state, and wait until it is ready. Raise TargetStartError."""
        await asyncio.to_thread(self.start_command("reset").wait)
        self.folder.mkdir(parents=True, exist_ok=True)
        mail_proxy = [sys.executable, "-m", "stress.mail_proxy", "--port", str(self._mail_port)]
        mail_proxy += ["--control-port", str(self._mail_control_port)]
        log = (self.folder / "mail-line.log").open("ab")
        self._processes.append(start(mail_proxy, cwd=Path(__file__).parents[1], log=log))
        variables = {"AWS_ENDPOINT_URL_SESV2": self.mail_line, **self._options.variables}
        options = CloudOptions(self._options.parameters, variables, self._options.flags)
        up = self.start_command("up", "--port", "0", *options.build_arguments())
        self._processes.append(up)
        self.origin = await asyncio.to_thread(_wait_until_ready, up)
        self.ports = json.loads((self.folder / "state.json").read_text())["ports"]
        await self.control_mail(target=self.emulator)
        self.aws = await asyncio.to_thread(AwsAccess, self.emulator)
        self.alarms = AlarmReader(self.emulator)

    async def stop(self) -> None:
        """Stop all processes."""
        await self.http.close()
        for process in reversed(self._processes):
            await asyncio.to_thread(stop, process)

    def start_command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command of the local cloud's about this one, see `python -m local --help`; its output is a pipe."""
        python = str(self.root / ".venvs/local/bin/python")
        command = [python, "-u", "-m", "local", "--state", str(self.folder), *arguments]
        return start(command, cwd=self.root, log=subprocess.PIPE)

    # reading its state

    def find_log(self, function: str) -> Path:
        """Return the file to which a function's environments log."""
        return self.folder / "logs" / f"{function}.log"

    def read_environment(self, function: str) -> dict[str, str]:
        """Return the variables with which a function was deployed."""
        functions = json.loads((self.folder / "stack.json").read_text())["functions"]
        return dict(next(each["environment"] for each in functions if each["logical_id"] == function))

    async def query_rows(
        self, query: str, params: Mapping[str, Any] | None = None, server: str = ""
    ) -> list[dict[str, Any]]:
        """Return the rows of a query without the proxy, on the present writer unless another `server` is named."""
        return await asyncio.to_thread(self._query_rows, query, params, server)

    def _query_rows(self, query: str, params: Mapping[str, Any] | None, server: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.build_dsn(server), autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), params)
            return cursor.fetchall() if cursor.description is not None else []

    def build_dsn(self, server: str = "") -> str:
        """Return the connection string for a role; `server` names another server than the writer."""
        port = self.ports[server or self.writer_port]
        return f"host=127.0.0.1 port={port} user={SUPERUSER} dbname={DATABASE} connect_timeout=5"

    writer_port = "postgres"

    async def read_mails(self) -> list[dict[str, Any]]:
        """Return all mails that have arrived, without the predecessor's."""
        mails = await self.http("GET", f"{self.origin}/_local/mail.json")
        return [mail for mail in mails if PREDECESSORS_SENDER not in mail["sender"]]

    async def read_inbox(self) -> tuple[Counter[str], list[dict[str, Any]]]:
        """Return how many mails each address has got, and the mails to the claims desk."""
        mails = await self.read_mails()
        return Counter(address for mail in mails for address in mail["to"]), [
            m for m in mails if STAFF_MAILBOX in m["to"]
        ]

    async def list_environments(self, function: str) -> list[dict[str, Any]]:
        """Return the execution environments of a function: pid, state, invocations."""
        status = await self.http("GET", f"{self.origin}/_local/status")
        return [e for e in status["functions"][function]["environments"] if e["pid"] is not None]

    async def invoke(self, function: str, payload: object) -> Any:
        """Return a function's response to an invocation by Lambda's own API."""
        return await self.http("POST", f"{self.origin}/2015-03-31/functions/{function}/invocations", payload)

    async def count_queued(self) -> dict[str, int]:
        """Return the number of messages in each of the stack's queues, waiting or in flight."""
        return await asyncio.to_thread(self.aws.count_queued)

    async def count_waiting(self) -> int:
        """Return how many transactions wait for a connection of the database proxy's pool."""
        return int((await self.control_database("GET", "/counts"))["waiting"])

    # breaking it

    @asynccontextmanager
    async def block_writes(self) -> AsyncIterator[None]:
        """Block all writes within the block, by a lock on the row that each writes last, and all reads of claims."""
        async with await psycopg.AsyncConnection.connect(self.build_dsn()) as connection:
            await connection.execute("LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE")
            await connection.execute("LOCK TABLE claims IN ACCESS EXCLUSIVE MODE")
            try:
                yield
            finally:
                await connection.rollback()

    async def control_mail(self, **changes: object) -> dict[str, Any]:
        """Change the settings of the mail proxy, if any are named; return its state and its calls."""
        url = f"http://127.0.0.1:{self._mail_control_port}/_control"
        deadline = time.monotonic() + 10
        while True:
            try:
                found: dict[str, Any] = await self.http("PUT", url, changes)
            except aiohttp.ClientConnectionError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                return found

    async def control_database(self, method: str, path: str, document: object = None) -> Any:
        """Send a command to the database proxy's control port: see `python -m local.database_proxy`."""
        return await self.http(method, f"http://127.0.0.1:{self.ports['database_proxy_control']}{path}", document)

    async def crash_database(self) -> None:
        """Make PostgreSQL restart, as when one of its processes dies: all connections end, then it recovers."""
        query = (
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1"
        )
        rows = await self.query_rows(query)
        if not rows:
            raise RuntimeError("nobody is connected: no backend to kill")
        os.kill(rows[0]["pid"], signal.SIGKILL)

    async def crash_database_after(self, query: str, params: Mapping[str, Any], database: str = DATABASE) -> None:
        """Make PostgreSQL restart as soon as a query of a database finds a row, or after CRASH_S without one."""
        await asyncio.to_thread(self._crash_database_after, query, params, database)

    def _crash_database_after(self, query: str, params: Mapping[str, Any], database: str) -> None:
        until = time.monotonic() + CRASH_S
        with psycopg.connect(make_conninfo(self.build_dsn(), dbname=database), autocommit=True) as connection:
            while not connection.execute(query.encode(), params).fetchone() and time.monotonic() < until:
                time.sleep(CRASH_POLL_S)
            os.kill(connection.info.backend_pid, signal.SIGKILL)

    async def promote_standby(self) -> None:
        """Promote the standby, and redirect all clients to it; the old writer keeps running."""
        await asyncio.to_thread(self._promote)
        await self.control_database("PUT", "/target", {"port": self.ports["standby"]})
        self.writer_port = "standby"

    def _promote(self) -> None:
        with psycopg.connect(self.build_dsn("standby"), autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")


def _wait_until_ready(process: subprocess.Popen[bytes]) -> str:
    output: list[str] = []
    deadline = time.monotonic() + START_S
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    for raw in process.stdout:
        line = raw.decode(errors="replace")
        output.append(line)
        if line.startswith("ready "):
            return line.split()[1].removesuffix("/api")
        if time.monotonic() > deadline:
            break
    stop(process)
    raise TargetStartError("the local cloud did not start:\n" + "".join(output))
