"""A long-running child process of the gateway, restarted when it ends by itself."""

import asyncio
import os
import signal
from pathlib import Path

from local.runtime.child_process import RuntimeProcess, kill_group, spawn
from local.runtime.logs import FunctionLog, LineSplitter

ROOT = str(Path(__file__).parents[2])
RESTART_S = 1.0
STOP_LIMIT_S = 1.5  # after this it is killed; the event sources take one second at most


class RestartingProcess:
    """A process that is started again when it ends, until `stop`."""

    def __init__(self, command: list[str], log: FunctionLog) -> None:
        self.pid: int | None = None
        self._command = command
        self._log = log
        self._lines = LineSplitter(log.write)
        self._ended = asyncio.Event()
        self._stopping = False
        self._restart_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the command. Raise OSError if it can't be started."""
        self._ended.clear()
        child = RuntimeProcess(on_output=self._lines.feed, on_exit=self._handle_exit)
        self.pid = await spawn(child, self._command, cwd=ROOT, env=dict(os.environ))

    async def stop(self) -> None:
        """Ask the process to finish and exit, and wait for that."""
        self._stopping = True
        if self._restart_task:
            self._restart_task.cancel()
        if self.pid is None or self._ended.is_set():
            return
        os.kill(self.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self._ended.wait()
        except TimeoutError:
            kill_group(self.pid)

    def _handle_exit(self, status: int) -> None:
        self._lines.flush()
        self._ended.set()
        if not self._stopping:
            self._log.record("helperExit", status=status, pid=self.pid)
            self._restart_task = asyncio.get_running_loop().create_task(self._restart())

    async def _restart(self) -> None:
        await asyncio.sleep(RESTART_S)
        await self.start()
