"""Programs under Lambda's own runtime client, awslambdaric, and the Runtime API that it asks for its invocations."""

import json
import queue
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, cast

from bench.child import END_S, CallTimes, ProgramFailed, build_variables
from bench.programs import ROOT, MeasuredProgram

PATIENCE_S = 30.0
INVOCATION = "/2018-06-01/runtime/invocation/"
NS_PER_MS = 1e6


class RuntimeApiServer(ThreadingHTTPServer):
    """The Runtime API for one environment."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RuntimeApiHandler)
        self.asked: queue.SimpleQueue[float] = queue.SimpleQueue()  # when the environment was ready for another one
        self.events: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        self.serial = 0


class RuntimeApiHandler(BaseHTTPRequestHandler):
    """Answers the runtime client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one packet

    @property
    def invocations(self) -> RuntimeApiServer:
        """Return the server of which this handles a request."""
        return cast("RuntimeApiServer", self.server)

    def do_GET(self) -> None:
        """Hand out the next invocation."""
        self.invocations.asked.put(time.perf_counter())
        event = self.invocations.events.get()
        self.invocations.serial += 1
        self.send_response(200)
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(event)),
            "Lambda-Runtime-Aws-Request-Id": f"bench-{self.invocations.serial}",
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 28_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:000000000000:function:bench",
            "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(event)

    def do_POST(self) -> None:
        """Take an answer, or the error of an invocation or a start."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.invocations.answers.put((time.perf_counter(), body))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Log nothing."""


class RuntimeProgram:
    """A program under awslambdaric; `start_ms` is how long it took until it asked for its first invocation."""

    def __init__(self, program: MeasuredProgram, environment: Mapping[str, str]) -> None:
        self._program = program
        self._server = RuntimeApiServer()
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        variables = build_variables(program, environment)
        variables |= {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}", "_HANDLER": program.handler}
        command = [str(program.python), "-m", "awslambdaric", program.handler]
        began = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            env=variables,
            cwd=find_task_root(program),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self.start_ms = (self._wait_until_ready() - began) * 1000

    def call(self, event: Mapping[str, Any]) -> CallTimes:
        """Invoke the handler; the CPU time is that of all its threads, also of those that receive and send."""
        cpu, began = read_cpu_ms(self._process.pid), time.perf_counter()
        self._server.events.put(json.dumps(event).encode())
        ended, body = self._server.answers.get(timeout=PATIENCE_S)
        self._wait_until_ready()
        times = CallTimes(json.loads(body), (ended - began) * 1000, read_cpu_ms(self._process.pid) - cpu)
        if times.answer.get("statusCode", 500) >= 300:
            raise ProgramFailed(f"{self._program.title} has answered {times.answer}")
        return times

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(END_S)
        self._server.shutdown()
        self._server.server_close()

    def _wait_until_ready(self) -> float:
        try:
            return self._server.asked.get(timeout=PATIENCE_S)
        except queue.Empty:
            self._process.kill()
            raise ProgramFailed(f"{self._program.title} did not become ready under awslambdaric") from None


def find_task_root(program: MeasuredProgram) -> Path:
    """Return the folder in which the runtime client looks for the handler."""
    return program.import_path[0] if program.import_path else ROOT


def read_cpu_ms(pid: int) -> float:
    """Return the CPU time of a process's threads that live."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / NS_PER_MS


@contextmanager
def run_in_runtime(program: MeasuredProgram, environment: Mapping[str, str]) -> Iterator[RuntimeProgram]:
    """Run a program under awslambdaric for as long as the block lasts."""
    process = RuntimeProgram(program, environment)
    try:
        yield process
    finally:
        process.stop()
