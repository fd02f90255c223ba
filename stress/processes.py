"""Processes that the harness starts; all end with it."""

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
DRIVEN_NICE = 5  # a third of the weight of nice 0, for the driven system if real-time priority is not allowed
STOP_S = 40.0


def raise_priority() -> None:
    """Give this process real-time priority, if that is allowed.

    The process that measures must not be late because of the load that it makes. Its threads inherit the priority: a
    thread of lower priority that holds the interpreter's lock while other processes use the processors would make the
    sending thread wait for both.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def _has_raised_priority() -> bool:
    return os.sched_getscheduler(0) == os.SCHED_RR


def _schedule_as_driven(*, has_raised_priority: bool) -> None:
    """Give a new process the ordinary priority, or a lower one if the measuring process has no higher one."""
    if has_raised_priority:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    else:
        os.nice(DRIVEN_NICE)


def start(command: Sequence[str], *, cwd: Path, log: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start a program in its own session; it is asked to end when this process does."""
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
    """Return what a new process runs before its program: it ends with this one, and has a lower priority.

    SIGINT ends it also if this process ignores that, as it does where a script has started it in the background.
    """
    prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None
    has_raised_priority = _has_raised_priority()

    def prepare() -> None:
        _schedule_as_driven(has_raised_priority=has_raised_priority)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGINT)

    return prepare


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program by SIGINT, and by SIGKILL if that takes too long."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def find_free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
