"""`make sam-local` prepares the template, the environment, and the way from a container to the stack's ports."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local.sam import build, container_wrapper, forwarder
from local.sam.build import (
    SamBuildFailed,
    SamFiles,
    adapt_build,
    adapt_template,
    leave_out_hiding_routes,
    run_sam_build,
)
from local.sam.container_wrapper import DATABASE as DATABASE_SOCKET
from local.sam.container_wrapper import EMULATOR as EMULATOR_SOCKET
from local.sam.environment import build_environment
from local.state_folder import ROOT, StateFolder
from tests.local import gateways
from tests.services import find_free_port

EMULATOR = "http://127.0.0.1:4566"
HERE = "127.0.0.1"
PATIENCE_S = 10.0


def test_the_environment_is_that_of_the_stack_but_for_the_layer() -> None:
    """The ports stay: the wrapper opens them in the container. The database's authority is in the layer."""
    variables = {
        "DB_HOST": HERE,
        "DB_PORT": "20002",
        "DB_SSLROOTCERT": "/home/somebody/.local/certificates/authority.pem",
        "QUEUE_HIGH_URL": f"{EMULATOR}/000000000000/high",
        "USER_POOL_CLIENT_ID": "of-the-stack",
        "MIGRATIONS_DIR": "/home/somebody/.venvs/layer/migrations",
    }
    functions = [
        gateways.make_function("claims", environment=variables, layer_dirs=["/home/somebody/.venvs/layer"]),
        gateways.make_function("hook", environment={"VERSIONS": "{}"}),
    ]
    assert build_environment(gateways.make_stack(functions, [], endpoint_url=EMULATOR)) == {
        "hook": {"AWS_ENDPOINT_URL": EMULATOR, "USER_POOL_CLIENT_ID": "events", "VERSIONS": "{}"},
        "claims": {
            "AWS_ENDPOINT_URL": EMULATOR,
            "AWS_LAMBDA_EXEC_WRAPPER": "/opt/local/wrapper",
            "DB_HOST": HERE,
            "DB_PORT": "20002",
            "DB_SSLROOTCERT": "/opt/local/authority.pem",
            "QUEUE_HIGH_URL": f"{EMULATOR}/000000000000/high",
            "USER_POOL_CLIENT_ID": "events",
        },
    }


def test_the_template_has_a_place_for_the_variables_of_a_container() -> None:
    """`sam local` passes no variable on that the template doesn't have."""
    template: dict[str, Any] = {
        "Parameters": {"Architecture": {"Default": "arm64"}, "DatabaseMode": {"Default": "create"}},
        "Globals": {"Function": {"Environment": {"Variables": {"DB_HOST": {"Ref": "DatabaseHost"}}}}},
        "Resources": {},
    }
    adapted = adapt_template(template, "x86_64")
    assert adapted["Parameters"] == {"Architecture": {"Default": "x86_64"}, "DatabaseMode": {"Default": "existing"}}
    assert adapted["Globals"]["Function"]["Environment"]["Variables"] == {
        "DB_HOST": {"Ref": "DatabaseHost"},
        "AWS_ENDPOINT_URL": "",
        "AWS_LAMBDA_EXEC_WRAPPER": "",
    }


def test_a_route_for_any_method_hides_no_other_functions() -> None:
    """`sam local start-api` would send health's own calls to the pages' function."""

    def describe_function(**routes: str) -> dict[str, Any]:
        events = {
            name: {"Type": "Api", "Properties": dict(zip(("Method", "Path"), route.split(), strict=True))}
            for name, route in routes.items()
        }
        return {"Type": "AWS::Serverless::Function", "Properties": {"Events": events}}

    resources = {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Health": describe_function(Health="get /health"),
        "Pages": describe_function(
            Docs="get /docs", OtherDocs="any /docs", OtherHealth="any /health", Elsewhere="any /{proxy+}"
        ),
    }
    resources["Health"]["Properties"]["Events"]["Clock"] = {
        "Type": "Schedule",
        "Properties": {"Schedule": "rate(1 minute)"},
    }
    leave_out_hiding_routes(resources)
    assert list(resources["Health"]["Properties"]["Events"]) == ["Health", "Clock"]
    assert list(resources["Pages"]["Properties"]["Events"]) == ["Docs", "OtherDocs", "Elsewhere"]


class WrappedRuntime:
    """A runtime that the wrapper has started as in a container; it ends when its stdin is closed.

    Its environment names the ports of these sockets.
    """

    def __init__(self, folder: Path, *sockets: str) -> None:
        self.ports = {name: find_free_port() for name in sockets}
        variables = {
            EMULATOR_SOCKET: ("AWS_ENDPOINT_URL", f"http://{HERE}:{self.ports.get(EMULATOR_SOCKET)}"),
            DATABASE_SOCKET: ("DB_PORT", str(self.ports.get(DATABASE_SOCKET))),
        }
        self._environment = {"LAMBDA_TASK_ROOT": str(folder), **dict(variables[name] for name in sockets)}
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        """Start it, and return when it runs."""
        command = [sys.executable, container_wrapper.__file__, shutil.which("sh") or "sh", "-c", "echo runs; read line"]
        process = subprocess.Popen(
            command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        return process

    def stop(self) -> None:
        """End it, but not what the wrapper left behind."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[WrappedRuntime]:
    """A runtime whose function's code is in `tmp_path`."""
    started = WrappedRuntime(tmp_path, EMULATOR_SOCKET, DATABASE_SOCKET)
    yield started
    if started.process.poll() is None:
        started.stop()


@asynccontextmanager
async def run_forwarder(folder: Path) -> AsyncIterator[None]:
    """Forward a folder's sockets to servers that answer in capitals and backwards, when their client has said all."""

    async def answer(
        change: Callable[[bytes], bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(change(await reader.read()))
        await writer.drain()
        writer.close()

    changes: dict[str, Callable[[bytes], bytes]] = {
        EMULATOR_SOCKET: bytes.upper,
        DATABASE_SOCKET: lambda said: said[::-1],
    }
    servers = {name: await asyncio.start_server(partial(answer, change), HERE, 0) for name, change in changes.items()}
    ports = {folder / name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    task = asyncio.create_task(forwarder.serve(ports))
    await asyncio.sleep(0.1)
    try:
        yield
    finally:
        for server in servers.values():
            server.close()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, PATIENCE_S)


async def ask(port: int, question: bytes) -> bytes:
    """Return all that a port of the container answers."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(HERE, port)
        writer.write(question)
        writer.write_eof()
        try:
            return await reader.read()
        finally:
            writer.close()


async def ask_all(runtime: WrappedRuntime, question: bytes) -> list[bytes]:
    """Return the answers of the ports: the emulator's, then the database's."""
    return [await ask(port, question) for port in runtime.ports.values()]


def test_the_ports_of_a_container_lead_to_the_stack(runtime: WrappedRuntime, tmp_path: Path) -> None:
    """Each to its own, in both directions, and the end of a connection too."""

    async def run() -> list[bytes]:
        async with run_forwarder(tmp_path):
            return await ask_all(runtime, b"ab" * 200_000)

    assert asyncio.run(run()) == [b"AB" * 200_000, b"ba" * 200_000]


@pytest.mark.parametrize("sockets", [(EMULATOR_SOCKET,), (DATABASE_SOCKET,), ()])
def test_a_function_that_needs_one_port_or_none_gets_it(tmp_path: Path, sockets: tuple[str, ...]) -> None:
    """The hook of a release reaches no database."""
    runtime = WrappedRuntime(tmp_path, *sockets)

    async def run() -> list[bytes]:
        async with run_forwarder(tmp_path):
            return await ask_all(runtime, b"ab")

    wanted = {EMULATOR_SOCKET: b"AB", DATABASE_SOCKET: b"ba"}
    try:
        assert asyncio.run(run()) == [wanted[name] for name in sockets]
    finally:
        runtime.stop()


def test_a_container_outlives_the_forwarder(runtime: WrappedRuntime, tmp_path: Path) -> None:
    """`make sam-local` may be ended and started again; between, a connection ends without an answer."""

    async def run() -> list[list[bytes]]:
        answers = [await ask_all(runtime, b"ab")]
        for _ in range(2):
            async with run_forwarder(tmp_path):
                answers.append(await ask_all(runtime, b"ab"))
        return answers

    assert asyncio.run(run()) == [[b"", b""], [b"AB", b"ba"], [b"AB", b"ba"]]


def test_a_socket_that_was_left_is_replaced(tmp_path: Path) -> None:
    """A forwarder that was killed leaves its files."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / EMULATOR_SOCKET))

    async def run() -> None:
        async with run_forwarder(tmp_path):
            pass

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_a_runtime_that_is_started_again_gets_the_ports(runtime: WrappedRuntime, tmp_path: Path) -> None:
    """As after a timeout, when the emulator of Lambda in a container ends the runtime and begins anew."""
    runtime.stop()
    runtime.process = runtime.start()

    async def run() -> list[bytes]:
        async with run_forwarder(tmp_path):
            await asyncio.sleep(2 * container_wrapper.POLL_S)
            return await ask_all(runtime, b"ab")

    assert asyncio.run(run()) == [b"AB", b"ba"]


def test_the_forwarder_ends_while_a_container_keeps_a_connection(runtime: WrappedRuntime, tmp_path: Path) -> None:
    """A function's container keeps those to the database and the emulator."""

    async def run() -> None:
        async with run_forwarder(tmp_path):
            await asyncio.open_connection(HERE, runtime.ports[DATABASE_SOCKET])

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


def test_a_build_has_the_wrapper_as_a_program_of_the_image(tmp_path: Path) -> None:
    """Its first line names Python where Lambda's image has it, and it may be executed."""
    files = SamFiles.make_below(tmp_path)
    (files.build / "SharedLayer").mkdir(parents=True)
    (files.build / "template.yaml").write_text((ROOT / "template.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    adapt_build(StateFolder(ROOT, tmp_path), files, "x86_64")
    wrapper = files.build / "SharedLayer/local/wrapper"
    assert wrapper.read_text(encoding="utf-8").startswith("#!/var/lang/bin/python3.13\n")
    assert os.access(wrapper, os.X_OK)


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo building; echo no such package >&2; exit 1", "building\nno such package"), ("sleep 5; exit 1", "took")],
)
def test_a_build_that_fails_or_hangs_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    """The report has the end of what it printed; a child that it leaves behind is not waited for."""
    sam = tmp_path / ".venvs/sam/bin/sam"
    sam.parent.mkdir(parents=True)
    sam.write_text(f"#!/bin/sh\n{script}\n")
    sam.chmod(0o755)
    monkeypatch.setattr(build, "BUILD_S", 1.0)
    with pytest.raises(SamBuildFailed, match=message):
        run_sam_build(tmp_path, tmp_path / "build", "x86_64")
