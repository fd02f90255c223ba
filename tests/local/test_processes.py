"""No process outlives the local cloud."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from local import processes
from local.processes import ChildProcess, ProcessCrashed, RecordedProcess

ROOT = Path(__file__).resolve().parents[2]
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, "up", flush=True)
time.sleep(60)
"""
PARENT = """
import sys, time
from pathlib import Path
from local.processes import spawn
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
child = spawn("part", sleep, log=Path(sys.argv[1]), cwd=Path("/"), env={})
print(child.process.pid, flush=True)
time.sleep(60)
"""


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Return whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def start_part(code: str, folder: Path) -> ChildProcess:
    """Return a running Python program as a part."""
    return processes.spawn("part", [sys.executable, "-c", code], log=folder / "part.log", cwd=folder, env={})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
def test_a_part_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves the supervisor no chance to clean up, so the kernel does."""
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    supervisor = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    supervisor.kill()
    supervisor.wait()
    assert wait_until(lambda: processes.read_start_time(pid) is None)


def test_a_part_that_ignores_the_signal_is_killed_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole session goes, grandchildren too."""
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    child = start_part(STUBBORN, tmp_path)
    assert wait_until(lambda: child.log.read_text().endswith("up\n"))
    grandchild = int(child.log.read_text().split()[0])
    child.stop()
    assert child.process.returncode == -signal.SIGKILL
    assert wait_until(lambda: processes.read_start_time(grandchild) is None)


def test_a_crash_is_reported_with_the_part_and_its_last_lines(tmp_path: Path) -> None:
    """The person sees what happened without looking for a log."""
    child = start_part("print('the last words'); raise SystemExit(3)", tmp_path)
    with pytest.raises(ProcessCrashed, match=r"part ended with status 3(.|\n)*the last words"):
        child.wait_until(lambda: False, 10)


def test_the_log_that_is_quoted_is_of_this_run(tmp_path: Path) -> None:
    """The file has those of earlier runs too; a part that wrote nothing is not given their words."""
    (tmp_path / "part.log").write_text("an older end\n")
    with pytest.raises(ProcessCrashed) as crashed:
        start_part("print('the last words'); raise SystemExit(3)", tmp_path).wait_until(lambda: False, 10)
    assert "older" not in str(crashed.value)
    assert str(crashed.value).endswith("part.log ends with\n  the last words")
    with pytest.raises(ProcessCrashed, match=r"status 3; it has written nothing to .*part\.log$"):
        start_part("raise SystemExit(3)", tmp_path).wait_until(lambda: False, 10)


def test_a_part_that_never_gets_ready_is_reported_in_time(tmp_path: Path) -> None:
    """Waiting has an end."""
    child = start_part("import time; time.sleep(60)", tmp_path)
    with pytest.raises(ProcessCrashed, match="part was not ready within 0 s"):
        child.wait_until(lambda: False, 0.1)
    child.stop()


def test_what_a_crash_left_behind_is_ended(tmp_path: Path) -> None:
    """A process with the recorded pid and start is ours."""
    child = start_part("import time; time.sleep(60)", tmp_path)
    assert processes.end_recorded([child.make_record()]) == ["part"]
    assert child.process.wait(10) == -signal.SIGTERM


def test_another_process_with_a_recorded_pid_is_left_alone() -> None:
    """Pids are used again: the start time distinguishes them."""
    ours = RecordedProcess("part", os.getpid(), processes.read_start_time(os.getpid()) or "", signal.SIGTERM)
    assert processes.is_running(ours)
    assert processes.end_recorded([replace(ours, started="another boot:1"), replace(ours, started="")]) == []
