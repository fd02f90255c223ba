"""The priority of processes: the one that measures comes, with its threads, before those that it starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stress import processes

ROOT = Path(__file__).resolve().parents[2]
SCHEDULER = "import os; print(os.sched_getscheduler(0), os.nice(0))"
# A process of its own: the priority that it asks for would stay with the process of the tests.
MEASURES = f"""
import os, subprocess, sys, threading
from pathlib import Path
from stress.processes import raise_priority, start
raise_priority()
found = []
thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
child = start([sys.executable, "-c", {SCHEDULER!r}], cwd=Path.cwd(), log=subprocess.PIPE)
print(os.sched_getscheduler(0), *found, child.communicate()[0].decode())
"""

IGNORES = """
import signal, sys
from pathlib import Path
from stress.processes import start, stop
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = start([sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"], cwd=Path.cwd(), log=-1)
child.stdout.readline()  # Python has begun, and would answer the signal
stop(child)
print(child.returncode)
"""


def is_real_time_allowed() -> bool:
    """Return whether this machine lets a process ask for the priority."""
    asked = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", asked], capture_output=True, check=False).returncode == 0


def test_threads_have_the_priority_of_what_measures_and_what_is_driven_has_not() -> None:
    """A thread of lower priority that holds the interpreter's lock would keep the thread that sends waiting."""
    done = subprocess.run([sys.executable, "-c", MEASURES], cwd=ROOT, capture_output=True, text=True, check=True)
    own, thread, child, nice = map(int, done.stdout.split())
    wanted = os.SCHED_RR if is_real_time_allowed() else os.SCHED_OTHER
    assert (own, thread, child) == (wanted, wanted, os.SCHED_OTHER)
    assert nice == os.nice(0) + (0 if own == os.SCHED_RR else processes.DRIVEN_NICE)


def test_without_a_real_time_priority_what_is_driven_runs_at_a_lower_one() -> None:
    """Lowering one's own priority is allowed everywhere."""
    child = processes.start([sys.executable, "-c", SCHEDULER], cwd=ROOT, log=subprocess.PIPE)
    scheduler, nice = map(int, child.communicate()[0].split())
    assert (scheduler, nice) == (os.SCHED_OTHER, min(19, os.nice(0) + processes.DRIVEN_NICE))


def test_a_refused_priority_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for it then changes nothing."""

    def refuse(*_arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    processes.raise_priority()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_what_is_driven_ends_when_it_is_stopped_though_the_harness_ignores_ctrl_c() -> None:
    """A script's shell has its background jobs ignore it; each stop then took the 40 s until it was killed."""
    done = subprocess.run([sys.executable, "-c", IGNORES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == -signal.SIGINT
