"""A long-running child of the gateway, started again when it ends by itself."""

import asyncio
import os
import signal
from pathlib import Path

from local.runtime.logs import Lines, LogFile
from local.runtime.process import Child, kill_group, spawn

ROOT = str(Path(__file__).parents[2])
RESTART_S = 1.0
STOP_LIMIT_S = 5.0  # then it is killed


class Helper:
    """Keeps one command running."""

    def __init__(self, command: list[str], log: LogFile) -> None:
        self.pid: int | None = None
        self._command = command
        self._log = log
        self._lines = Lines(log.write)
        self._ended = asyncio.Event()
        self._stopping = False
        self._again: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the command. Raises OSError if it can't be started."""
        self._ended.clear()
        child = Child(on_output=self._lines.feed, on_exit=self._exited)
        self.pid = await spawn(child, self._command, cwd=ROOT, env=dict(os.environ))

    async def stop(self) -> None:
        """Asks it to end what it is doing and to exit, and waits for that."""
        self._stopping = True
        if self._again:
            self._again.cancel()
        if self.pid is None or self._ended.is_set():
            return
        os.kill(self.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self._ended.wait()
        except TimeoutError:
            kill_group(self.pid)

    def _exited(self, status: int) -> None:
        self._lines.flush()
        self._ended.set()
        if not self._stopping:
            self._log.record("helperExit", status=status, pid=self.pid)
            self._again = asyncio.get_running_loop().create_task(self._restart())

    async def _restart(self) -> None:
        await asyncio.sleep(RESTART_S)
        await self.start()
