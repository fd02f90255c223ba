"""The environments of one function: started on demand, most recently used first, limited by its concurrency.

When the code on disk has changed, the environments from before are replaced. They finish their invocations, and are
kept until a new one has started: code that doesn't start costs no call.
"""

import asyncio
import os
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.runtime.environment import ExecutionEnvironment
from local.runtime.invocation import FunctionInvocation, InvocationOutcome, ThrottledError
from local.runtime.lineage import RecursionStopped, continue_chain, count_invocations
from local.runtime.logs import FunctionLog
from local.runtime.variables import RuntimePlatform, list_source_folders
from local.stack import DeployedFunction

UNRESERVED_LIMIT = 20  # for a function without reserved concurrency; an account's 1,000 would exhaust a laptop's memory
STARTS_AT_ONCE = 2 * (os.cpu_count() or 1)  # per function; starting is CPU-bound, and each serves many calls


class EnvironmentPool:
    """The execution environments of one function."""

    def __init__(self, function: DeployedFunction, platform: RuntimePlatform, log: FunctionLog) -> None:
        self._function = function
        self._platform = platform
        self._log = log
        self.limit = UNRESERVED_LIMIT if function.reserved_concurrency is None else function.reserved_concurrency
        self.running: dict[str, float] = {}
        self.throttles = 0
        self.recursions_dropped = 0
        self.longest_chain = 0
        self._environments: set[ExecutionEnvironment] = set()
        self._idle: list[ExecutionEnvironment] = []
        self._waiting: deque[asyncio.Future[ExecutionEnvironment | InvocationOutcome]] = deque()
        self._starts: set[asyncio.Task[None]] = set()
        self._former: set[ExecutionEnvironment] = set()
        self._replacement: asyncio.Future[InvocationOutcome | None] | None = None
        self._is_code_broken = False
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Return how many invocations are under way, those that wait for an environment included."""
        return len(self.running)

    async def invoke(self, invocation: FunctionInvocation) -> InvocationOutcome:
        """Run an invocation in an idle environment or a new one.

        Raise ThrottledError above the concurrency, RecursionStopped in a chain of requests that has become too long.
        """
        invocation = self._continue_chain(invocation)
        if self.in_flight >= self.limit:
            self.throttles += 1
            raise ThrottledError(self._function.logical_id)
        self.running[invocation.request_id] = time.time()
        try:
            taken = await self._take()
            if isinstance(taken, InvocationOutcome):
                return self._report_start(invocation, taken)
            return await taken.run(invocation)
        finally:
            del self.running[invocation.request_id]

    def _report_start(self, invocation: FunctionInvocation, outcome: InvocationOutcome) -> InvocationOutcome:
        """Return the outcome of a failed start, which is an error of the invocation that waited for it."""
        self._log.record(
            "report",
            requestId=invocation.request_id,
            status="error",
            durationMs=0.0,
            version=self._function.version,
            qualifier=invocation.qualifier,
        )
        return outcome

    def reads_file(self, path: Path) -> bool:
        """Return whether an environment can import the file, or read it beside its code."""
        return any(path.is_relative_to(folder) for folder in list_source_folders(self._function))

    async def replace_environments(self) -> InvocationOutcome | None:
        """Run later invocations with the code that is on disk now.

        Return None when a new environment has started with it, else its failure; then the environments from before
        serve on, and no others start until the code has changed again. Meanwhile invocations wait.
        """
        self._is_code_broken = False
        self._former |= self._environments
        self._idle.clear()
        if not self._environments:
            return None
        if self._replacement is None:
            self._replacement = asyncio.get_running_loop().create_future()
        self._start_new()
        return await self._replacement

    def close(self) -> None:
        """Kill every environment and start no more."""
        self._closed = True
        for environment in self._environments:
            environment.kill()

    def read_status(self) -> dict[str, Any]:
        """Return counts and environments, for `/_local/status`."""
        return {
            "limit": self.limit,
            "in_flight": self.in_flight,
            "running_since": sorted(self.running.values()),
            "throttles": self.throttles,
            "recursions_dropped": self.recursions_dropped,
            "longest_chain": self.longest_chain,
            "environments": [
                {"pid": e.pid, "state": e.state, "invocations": e.invocations}
                for e in sorted(self._environments, key=lambda e: e.pid or 0)
            ],
        }

    @property
    def processes(self) -> list[int]:
        """Return the pids of the running environments."""
        return [e.pid for e in self._environments if e.pid is not None]

    def _continue_chain(self, invocation: FunctionInvocation) -> FunctionInvocation:
        try:
            trace_id = continue_chain(invocation.trace_id, self._function.logical_id)
        except RecursionStopped:
            self.recursions_dropped += 1
            raise
        self.longest_chain = max(self.longest_chain, count_invocations(trace_id))
        return replace(invocation, trace_id=trace_id)

    async def _take(self) -> ExecutionEnvironment | InvocationOutcome:
        while True:
            taken = self._idle.pop() if self._idle else await self._wait()
            if isinstance(taken, InvocationOutcome) or taken.state != "gone":
                return taken

    async def _wait(self) -> ExecutionEnvironment | InvocationOutcome:
        place: asyncio.Future[ExecutionEnvironment | InvocationOutcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._grow()
        return await place

    def _grow(self) -> None:
        if self._closed or self._replacement or (self._is_code_broken and self._environments):
            return  # while a replacement starts, its first environment shows whether the code works
        starting = sum(e.state == "starting" for e in self._environments)
        soon = starting + sum(e.state == "finishing" for e in self._environments - self._former)
        available = min(self.limit - len(self._environments), STARTS_AT_ONCE - starting)
        for _ in range(min(len(self._waiting) - soon, available)):
            self._start_new()

    def _start_new(self) -> None:
        environment = ExecutionEnvironment(
            self._function, self._platform, self._log, on_idle=self._put_idle, on_gone=self._drop
        )
        self._environments.add(environment)
        task = asyncio.get_running_loop().create_task(environment.start())
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    def _put_idle(self, environment: ExecutionEnvironment) -> None:
        if environment in self._former:
            if self._replacement is None:
                environment.kill()
            return
        if self._replacement:
            self._end_replacement(None)
        place = self._take_next_waiting()
        if place is None:
            self._idle.append(environment)
            return
        environment.state = "busy"
        place.set_result(environment)
        self._grow()

    def _end_replacement(self, failure: InvocationOutcome | None) -> None:
        """Kill the former environments that are idle, the others follow; or let all of them serve on."""
        replacement, self._replacement = self._replacement, None
        if replacement and not replacement.done():
            replacement.set_result(failure)
        former = [each for each in self._former if each.state == "idle"]
        if failure is None:
            for each in former:
                each.kill()
            return
        self._is_code_broken = True
        self._former.clear()
        for each in former:
            self._put_idle(each)

    def _drop(self, environment: ExecutionEnvironment, start_error: InvocationOutcome | None) -> None:
        self._environments.discard(environment)
        if environment in self._idle:
            self._idle.remove(environment)
        if environment in self._former:
            self._former.discard(environment)
        elif start_error and self._replacement:
            self._end_replacement(start_error)
        elif start_error and (place := self._take_next_waiting()):
            place.set_result(start_error)
        self._grow()

    def _take_next_waiting(self) -> asyncio.Future[ExecutionEnvironment | InvocationOutcome] | None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                return place
        return None
