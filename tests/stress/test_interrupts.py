"""Ctrl-C ends a program of ours without a traceback, while it imports and while it works."""

import signal
import subprocess
import sys

import pytest

from stress.interrupts import INTERRUPTED
from tests.services import ROOT

PROGRAM = """
import signal, time
from stress.interrupts import end_at_once, run_until_interrupted

def wait(*_):
    print("ready", flush=True)
    time.sleep(60)
    return 0

end_at_once()
{work}
"""
WORK = 'raise SystemExit(run_until_interrupted(wait, [], "stopped: nothing was kept"))'


@pytest.mark.parametrize(
    ("work", "status", "said"),
    [("wait()", -signal.SIGINT, ""), (WORK, INTERRUPTED, "\nstopped: nothing was kept\n")],
    ids=["while it imports", "while it works"],
)
def test_ctrl_c_ends_a_program_without_a_traceback(work: str, status: int, said: str) -> None:
    """A shell's loop sees either as an interruption, and ends too."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background has it ignored, which a child would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=10)
    assert (child.returncode, errors) == (status, said)


def test_what_ignores_ctrl_c_still_does() -> None:
    """A job in the background of a shell is left alone by a Ctrl-C that is meant for another."""
    ignoring = PROGRAM.format(work='assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN; print("ignored")')
    found = subprocess.run(
        [sys.executable, "-c", f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{ignoring}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "ignored\n"
