"""What somebody types wrong is said in a line or two, without a traceback; so is an end by Ctrl-C."""

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.services import ROOT

LOCAL = str(ROOT / ".venvs/local/bin/python")
END_S = 30.0
MOMENT = "2026-11-26T21:30:00"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout, with nobody to answer it."""
    return subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=END_S
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--port", "abc"], "--port: 'abc' is no port: a number from 1 to 65535, 0 for any free one"),
        (["up", "--port", "99999"], "--port: '99999' is no port"),
        (["up", "--port", "-1"], "--port: '-1' is no port"),
        (["up", "--parameter", "MailRate"], "--parameter: 'MailRate' is not NAME=VALUE"),
        (["up", "--variable", "1A"], "--variable: neither NAME=VALUE nor FunctionLogicalId:NAME=VALUE: 1A"),
        (["up", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["restore", "--to", "yesterday"], "--to: 'yesterday' is no moment with its offset"),
        (["restore", "--to", MOMENT], f"--to: '{MOMENT}' is no moment with its offset"),
        (["token", "--role", "king"], "--role: invalid choice: 'king'"),
        (["nonsense"], "command: invalid choice: 'nonsense'"),
    ],
)
def test_a_wrong_option_is_said_in_two_lines(arguments: Sequence[str], message: str) -> None:
    """The second says where all options are listed."""
    done = run(LOCAL, "-m", "local", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    said, hint = done.stderr.splitlines()
    assert said.startswith(message)
    assert hint == "all options: python -m local --help"


@pytest.mark.parametrize("command", ["down", "url", "token", "circuits", "psql", "migrate", "release"])
def test_a_command_for_a_running_cloud_says_in_a_line_that_none_runs(tmp_path: Path, command: str) -> None:
    """The line says how to start one."""
    done = run(LOCAL, "-m", "local", "--state", str(tmp_path), command)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "the local cloud is not running: make up\n")


@pytest.mark.parametrize("command", ["up", "token", "reset"])
def test_a_state_folder_that_cannot_be_written_is_said(tmp_path: Path, command: str) -> None:
    """A file is in its place."""
    (tmp_path / "state").write_text("")
    done = run(LOCAL, "-m", "local", "--state", str(tmp_path / "state"), command)
    assert done.returncode == 1
    assert done.stderr == f"the state can't be kept in {tmp_path}/state: Not a directory\n"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("stress-compare", "name a report: A=reports/…"),
        ("stress-compare A={folder} B={folder}", "there is no report in {folder}: A=reports/…"),
        ("stress-keep", "name a report: REPORT=reports/…"),
        ("stress-keep REPORT={folder}", "there is no report in {folder}: REPORT=reports/…"),
        ("verify REPORT={folder}", "there is no report in {folder}: REPORT=reports/…"),
        ("release", "name other code: CODE=a folder or git revision"),
    ],
)
def test_a_target_of_make_says_which_variable_it_needs(tmp_path: Path, target: str, message: str) -> None:
    """Before anything is installed or run."""
    name, *variables = target.format(folder=tmp_path).split()
    done = run("make", "--dry-run", name, *variables)
    assert done.returncode == 2
    assert message.format(folder=tmp_path) in done.stderr


def test_an_address_that_is_none_is_said_before_a_run_on_it() -> None:
    """A run elsewhere that nobody confirms does not begin."""
    wrong = run(sys.executable, "-m", "stress", "run", "--target", "nonsense")
    assert (wrong.returncode, wrong.stderr) == (1, "nonsense is no address of an API: TARGET=https://…/api\n")
    unasked = run(sys.executable, "-m", "stress", "run", "--target", "https://api.example.test/api")
    assert (unasked.returncode, unasked.stderr) == (1, "nobody answers: YES=1\n")


@pytest.mark.parametrize(
    ("module", "message"), [("tests.mutations", "there is no mutation nonsense"), ("tools.mutants", "no part nonsense")]
)
def test_a_name_that_does_not_exist_is_said_before_anything_runs(module: str, message: str) -> None:
    """The minutes that a run with none of that kind took are saved."""
    done = run(sys.executable, "-m", module, "nonsense")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_installation_that_waits_for_another_says_so_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    """Two terminals in a fresh clone."""
    (tmp_path / "local").mkdir()
    for name in ("__init__.py", "bootstrap.py"):
        (tmp_path / "local" / name).write_bytes((ROOT / "local" / name).read_bytes())
    (tmp_path / ".venvs").mkdir()
    said = tmp_path / "said"
    with (tmp_path / ".venvs/.lock").open("w") as lock, said.open("w") as stderr:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [LOCAL, "-m", "local.bootstrap", "local"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=stderr, preexec_fn=allow_interrupt)
        time.sleep(2)  # until it waits
        process.send_signal(signal.SIGINT)
        assert process.wait(END_S) == 130
    assert said.read_text().splitlines() == [
        "environments: waiting for another installation …",
        "",
        "stopped; the next call of make installs what is missing",
    ]


def allow_interrupt() -> None:
    """Let SIGINT interrupt, also where the tests' shell ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    """Any command, while it waits."""
    code = (
        "import time, sys; from local import __main__ as m;"
        "m.COMMANDS['url'] = lambda *_: (print('waits', flush=True), time.sleep(30));"
        "sys.exit(m.main(['--state', sys.argv[1], 'url']))"
    )
    command = [LOCAL, "-c", code, str(tmp_path)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=allow_interrupt
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=END_S) == ("", "")
    assert process.returncode == 130


# Sends the signal while the module that its second argument names is imported, as a person may press Ctrl-C.
INTERRUPT_AN_IMPORT = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
runpy.run_module(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("local", "local.tokens"),
        ("stress", "stress.run"),
        ("stress.controls", "stress.controls.records"),
        ("bench", "bench.warm"),
        ("bench.capacity", "bench.capacity.run"),
    ],
)
def test_ctrl_c_while_a_program_is_being_loaded_prints_nothing(module: str, imported: str) -> None:
    """Which takes up to a second, and longer from a cold disk."""
    command = [sys.executable, "-c", INTERRUPT_AN_IMPORT, module, imported]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=allow_interrupt
    )
    assert process.communicate(timeout=END_S) == ("", "")
    assert process.returncode == -signal.SIGINT
