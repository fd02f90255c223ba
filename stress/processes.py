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
DRIVEN_NICE = 5  # a third of the weight of a process at 0, for what is driven where no real-time priority is allowed
STOP_S = 40.0


def raise_priority() -> None:
    """Have this process served as soon as it has something to do, where we may ask for that.

    What measures must not be late by the very load that it makes. Its threads inherit this: a thread of lower priority
    that holds the interpreter's lock while others have the processors makes the thread that sends wait for both.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def _has_raised_priority() -> bool:
    return os.sched_getscheduler(0) == os.SCHED_RR


def _schedule_as_driven(*, has_raised_priority: bool) -> None:
    """Give a new process the ordinary priority, or a lower one where the process that measures has no higher one."""
    if has_raised_priority:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    else:
        os.nice(DRIVEN_NICE)


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
        preexec_fn=_prepare_driven(),
    )


def _prepare_driven() -> Callable[[], None]:
    """Return what a new process does before its program: it ends with this one, and does not run before it."""
    prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None
    has_raised_priority = _has_raised_priority()

    def prepare() -> None:
        _schedule_as_driven(has_raised_priority=has_raised_priority)
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


def find_free_port() -> int:
    """A loopback port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
