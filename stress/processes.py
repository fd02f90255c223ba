"""Processes that the harness starts: none outlives it."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1  # linux/prctl.h
STOP_S = 40.0

# What measures must not be late by the very load that it makes. Linux shares processors out by session (autogroup): the
# cloud is one, we are another, so that half is ours; as root we ask for more than half.
URGENCY = -15
AUTOGROUP = Path("/proc/self/autogroup")


def hurry() -> None:
    """Ask for this process to be served before the others; without the right to, things stay as they are."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, URGENCY)
    with contextlib.suppress(OSError):
        AUTOGROUP.write_text(str(URGENCY))


def start(command: Sequence[str], *, cwd: Path, log: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, that is asked to end when this process does."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTEST_", "PYTHONPATH"))}
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_prepare(),
    )


def _prepare() -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None

    def prepare() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)  # our urgency is not theirs

    return prepare


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program as Ctrl-C does, and with SIGKILL where that takes too long."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A loopback port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
