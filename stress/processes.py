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


def hurry() -> None:
    """Have this process served as soon as it has something to do, where we may ask for that.

    What measures must not be late by the very load that it makes. It works little, and what it starts is not hurried.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


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
        preexec_fn=_end_with_us(),
    )


def _end_with_us() -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None

    def prepare() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGINT)

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
