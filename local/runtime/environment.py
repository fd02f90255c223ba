"""One execution environment: a process that runs awslambdaric, and the Runtime API it talks to.

Its states: starting → idle ⇄ busy → finishing → idle, and gone from any of them. `finishing` has answered, but has not
asked for its next invocation yet.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Literal

from local.http_server import DRAIN_LIMIT, HttpRequest, HttpResponse, HttpServer, serve
from local.runtime.child_process import RuntimeProcess, kill_group, spawn
from local.runtime.invocation import PAYLOAD_LIMIT, FunctionInvocation, InvocationOutcome, make_failure
from local.runtime.logs import FunctionLog, LineSplitter
from local.runtime.variables import RuntimePlatform, build_variables
from local.stack import DeployedFunction

INIT_LIMIT_S = 30.0  # Lambda allows 10 s; a laptop that starts many environments together needs more
API = "/2018-06-01/runtime"
ACCEPTED = HttpResponse(202, [("Content-Type", "application/json")], b'{"status":"OK"}')

State = Literal["starting", "idle", "busy", "finishing", "gone"]
_numbers = itertools.count(1)


class ExecutionEnvironment:
    """An execution environment, which runs one invocation at a time.

    `on_idle` is called when it can take one. `on_gone` is called once, when it has ended: with the outcome of a failed
    start, or None if it had started.
    """

    def __init__(
        self,
        function: DeployedFunction,
        platform: RuntimePlatform,
        log: FunctionLog,
        *,
        on_idle: Callable[["ExecutionEnvironment"], None],
        on_gone: Callable[["ExecutionEnvironment", InvocationOutcome | None], None],
    ) -> None:
        self.state: State = "starting"
        self.pid: int | None = None
        self.invocations = 0
        self._function = function
        self._platform = platform
        self._log = log
        self._on_idle = on_idle
        self._on_gone = on_gone
        self._init_error: InvocationOutcome | None = None
        self._poll: asyncio.Future[FunctionInvocation] | None = None
        self._current: FunctionInvocation | None = None
        self._result: asyncio.Future[InvocationOutcome] | None = None
        self._lines = LineSplitter(log.write)
        self._server: HttpServer | None = None
        self._number = next(_numbers)

    async def start(self) -> None:
        """Start the process; `on_idle` or `on_gone` is called later."""
        self._started = time.perf_counter()
        self._timer = asyncio.get_running_loop().call_later(INIT_LIMIT_S, self.kill)
        self._server = await serve(self._serve_runtime_api, port=0, max_body=DRAIN_LIMIT)
        child = RuntimeProcess(on_output=self._lines.feed, on_exit=self._handle_exit)
        runtime_api = f"127.0.0.1:{self._server.port}"
        env = build_variables(self._function, self._platform, runtime_api=runtime_api, stream=f"local/{self._number}")
        command = [self._platform.python, "-m", "awslambdaric", self._function.handler]
        try:
            self.pid = await spawn(child, command, cwd=self._function.code_dir, env=env)
        except OSError as error:
            self._init_error = make_failure("Runtime.InvalidEntrypoint", str(error))
            self._handle_exit(1)

    async def run(self, invocation: FunctionInvocation) -> InvocationOutcome:
        """Run an invocation and return its outcome; a timeout or the end of the process is an outcome too."""
        loop = asyncio.get_running_loop()
        started = time.perf_counter()
        self.state, self._current, self._result = "busy", invocation, loop.create_future()
        self._timer = loop.call_later(self._function.timeout_s, self._end_at_timeout)
        if self._poll and not self._poll.done():
            self._poll.set_result(invocation)
        outcome = await self._result
        self._timer.cancel()
        self.invocations += 1
        self._report_end(invocation, outcome, duration_s=time.perf_counter() - started)
        return outcome

    def kill(self) -> None:
        """Kill the process; its invocation ends as if the process had exited."""
        if self.pid is not None and self.state != "gone":
            kill_group(self.pid)

    # the Runtime API

    async def _serve_runtime_api(self, request: HttpRequest) -> HttpResponse:
        if request.path == f"{API}/invocation/next":
            return await self._wait_for_invocation()
        if request.path == f"{API}/init/error":
            self._init_error = InvocationOutcome(request.body, "Unhandled")
            return ACCEPTED
        return self._handle_answer(request)

    async def _wait_for_invocation(self) -> HttpResponse:
        self._poll = asyncio.get_running_loop().create_future()
        if self.state == "starting":
            self._timer.cancel()
            duration_ms = round((time.perf_counter() - self._started) * 1000, 1)
            self._log.record("initReport", durationMs=duration_ms, pid=self.pid)
        if self.state in ("starting", "finishing"):
            self.state = "idle"
            self._on_idle(self)
        invocation = await self._poll
        deadline_ms = int((time.time() + self._function.timeout_s) * 1000)
        headers = [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(deadline_ms)),
            ("Lambda-Runtime-Invoked-Function-Arn", self._platform.build_arn(self._function.logical_id)),
            ("Lambda-Runtime-Trace-Id", invocation.trace_id),
        ]
        return HttpResponse(200, headers, invocation.payload)

    def _handle_answer(self, request: HttpRequest) -> HttpResponse:
        _, _, rest = request.path.partition(f"{API}/invocation/")
        request_id, _, verb = rest.partition("/")
        if self._current is None or request_id != self._current.request_id or verb not in ("response", "error"):
            return HttpResponse(400, [("Content-Type", "application/json")], b'{"errorType":"InvalidRequestID"}')
        if len(request.body) > PAYLOAD_LIMIT:
            size = f"Response payload size exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes)."
            self._set_outcome(make_failure("Function.ResponseSizeTooLarge", size))
            return HttpResponse(413, [("Content-Type", "application/json")], b'{"errorType":"RequestEntityTooLarge"}')
        self._set_outcome(InvocationOutcome(request.body, "Unhandled" if verb == "error" else None))
        return ACCEPTED

    # how an invocation or the environment ends

    def _set_outcome(self, outcome: InvocationOutcome) -> None:
        self.state, self._current = "finishing", None
        if self._result and not self._result.done():
            self._result.set_result(outcome)

    def _end_at_timeout(self) -> None:
        if self._current:
            ended = f"Task timed out after {self._function.timeout_s:.2f} seconds"
            self._set_outcome(make_failure("Sandbox.Timedout", f"RequestId: {self._current.request_id} Error: {ended}"))
        self.kill()

    def _handle_exit(self, status: int) -> None:
        cause = f"signal: {-status}" if status < 0 else f"exit status {status}"
        self._lines.flush()
        self._timer.cancel()
        was_starting = self.state == "starting"
        if self._current:
            text = f"RequestId: {self._current.request_id} Error: Runtime exited with error: {cause}"
            self._set_outcome(make_failure("Runtime.ExitError", text))
        self.state = "gone"
        self._log.record("runtimeExit", cause=cause, pid=self.pid)
        if self._poll:
            self._poll.cancel()
        if self._server:
            self._server.stop_accepting()
        error = self._init_error or make_failure("Runtime.ExitError", f"Error: Runtime exited during init: {cause}")
        self._on_gone(self, error if was_starting else None)

    def _report_end(self, invocation: FunctionInvocation, outcome: InvocationOutcome, *, duration_s: float) -> None:
        status = "error" if outcome.error else "success"
        duration_ms = round(duration_s * 1000, 2)
        self._log.record(
            "report",
            requestId=invocation.request_id,
            status=status,
            durationMs=duration_ms,
            pid=self.pid,
            version=self._function.version,
            qualifier=invocation.qualifier,
        )
