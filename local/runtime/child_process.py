"""Child processes of asyncio that cannot outlive this process."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable
from typing import cast

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def prepare_death_signal() -> Callable[[], None]:
    """Return a `preexec_fn` that makes the kernel kill the child when this process ends, however it ends.

    libc is loaded here, before the fork, while that is safe. The second check covers a parent that died between the
    fork and the call.
    """
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def set_death_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return set_death_signal


def kill_group(pid: int) -> None:
    """Kill a child that leads a process group, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _prepare_group(set_death_signal: Callable[[], None]) -> Callable[[], None]:
    """Return a `preexec_fn` that makes a process group first; uvloop has no option for it."""

    def prepare() -> None:
        os.setpgid(0, 0)
        set_death_signal()

    return prepare


class RuntimeProcess(asyncio.SubprocessProtocol):
    """A child that reports its output, stdout and stderr as one stream, and its exit status (negative: the signal)."""

    def __init__(self, *, on_output: Callable[[bytes], None], on_exit: Callable[[int], None]) -> None:
        self._on_output = on_output
        self._on_exit = on_exit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - asyncio's signature
        """Pass on output."""
        self._on_output(data)

    def process_exited(self) -> None:
        """Report the exit status."""
        self._on_exit(self._transport.get_returncode() or 0)


async def spawn(child: RuntimeProcess, command: list[str], *, cwd: str, env: dict[str, str]) -> int:
    """Start a child in its own process group, so that a terminal's Ctrl-C reaches only us; return its pid."""
    transport, _ = await asyncio.get_running_loop().subprocess_exec(
        lambda: child,
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=cwd,
        env=env,
        preexec_fn=_prepare_group(prepare_death_signal()),
    )
    return transport.get_pid()
