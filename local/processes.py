"""The local cloud's child processes: they end with it, and those that a crash left behind are found and ended."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
STOP_SECONDS = 15.0  # to end cleanly (the emulator writes its state, PostgreSQL a checkpoint) before SIGKILL
POLL_SECONDS = 0.02
CRASH_LINES = 15  # of a crashed process's log


class ProcessCrashed(Exception):
    """A process ended by itself; the message names it and has its last log lines."""


@dataclass(frozen=True)
class RecordedProcess:
    """A process that was started, with enough to recognise it later.

    `started` distinguishes it from a later process with the same pid.
    """

    name: str
    pid: int
    started: str
    stop_signal: int


@dataclass
class ChildProcess:
    """A running process. `log` is the file with its output, behind the `log_start` bytes of earlier runs."""

    name: str
    process: subprocess.Popen[bytes]
    stop_signal: int
    log: Path
    log_start: int = 0

    def make_record(self) -> RecordedProcess:
        """Return what to store about the process."""
        return RecordedProcess(self.name, self.process.pid, read_start_time(self.process.pid) or "", self.stop_signal)

    def check(self) -> None:
        """Raise ProcessCrashed if the process has ended."""
        if self.process.poll() is not None:
            raise ProcessCrashed(describe_crash(self.name, self.process.returncode, self.log, self.log_start))

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return when `ready` returns true. Raise ProcessCrashed when the process ends or `seconds` pass first."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                last = read_last_lines(self.log, self.log_start)
                raise ProcessCrashed(f"{self.name} was not ready within {seconds:.0f} s; {last}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End the process and all that it started: first by its stop signal, then by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


def spawn(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    cwd: Path,
    env: dict[str, str],
    stop_signal: int = signal.SIGTERM,
    prepare: Callable[[], None] = lambda: None,
) -> ChildProcess:
    """Start a process in its own process group, with its output in `log`; Ctrl-C in the terminal then reaches only us.

    It does not get its own session: Linux shares processor time between sessions (autogroup), so with one session each,
    dozens of environments would starve a program that runs beside the cloud.

    `prepare` runs in the child before the program does.
    """
    set_death_signal = prepare_death_signal(stop_signal)

    def set_up_child() -> None:
        prepare()
        set_death_signal()

    with log.open("ab") as output:
        log_start = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            process_group=0,
            preexec_fn=set_up_child,
        )
    return ChildProcess(name, process, stop_signal, log, log_start)


def prepare_death_signal(stop_signal: int) -> Callable[[], None]:
    """Return a function for the child that makes the kernel send `stop_signal` when this process ends (Linux only)."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def set_death_signal() -> None:
        prctl(PR_SET_PDEATHSIG, stop_signal)
        if os.getppid() != parent:  # the parent ended between the fork and this call
            os.kill(os.getpid(), signal.SIGKILL)

    return set_death_signal


def read_start_time(pid: int) -> str | None:
    """Return a process's start time as an opaque text, unique for its pid; None if there is no process."""
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
        return listing.stdout.strip() or None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, start = fields[0], fields[19]
    return None if state in "ZX" else Path("/proc/sys/kernel/random/boot_id").read_text().strip() + ":" + start


def end_recorded(records: Sequence[RecordedProcess]) -> list[str]:
    """End the processes that an earlier run left behind, the last started first; return the names of those found."""
    found = [leftover for leftover in reversed(records) if is_running(leftover)]
    for leftover in found:
        end_process(leftover)
    return [leftover.name for leftover in found]


def is_running(record: RecordedProcess) -> bool:
    """Return whether the recorded process is still the one with that pid."""
    return bool(record.started) and read_start_time(record.pid) == record.started


def end_process(record: RecordedProcess) -> None:
    """End one process by its stop signal, and by SIGKILL after STOP_SECONDS."""
    for sign in (record.stop_signal, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, sign)
        deadline = time.monotonic() + STOP_SECONDS
        while is_running(record) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def describe_crash(name: str, status: int, log: Path, log_start: int) -> str:
    """Return a message for a process that has ended by itself: how it ended, and the last log lines of this run."""
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return f"{name} {how}; {read_last_lines(log, log_start)}"


def read_last_lines(log: Path, start: int) -> str:
    """Return the last lines of a log file behind its first `start` bytes, after its name."""
    try:
        with log.open("rb") as output:
            output.seek(start)
            lines = output.read().decode(errors="replace").splitlines()[-CRASH_LINES:]
    except OSError:
        lines = []
    return "\n  ".join([f"{log} ends with", *lines]) if lines else f"it has written nothing to {log}"
