"""Runs of tests in a copy of the checkout, each in a child process that has the slow imports already."""

import importlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.processes import prepare_death_signal
from stress.controls.checkout_copies import copy_checkout
from tests.mutations.model import SourceEdit, drop_case
from tests.packages import PACKAGES

# None of these is ours: a child imports our code from its own copy.
SLOW_TO_IMPORT = (
    "hypothesis",
    "psycopg",
    "pydantic",
    "boto3",
    "botocore.auth",
    "aws_lambda_powertools",
    "yaml",
    "httpx",
)
OURS = frozenset({"tests", "stress", "local", *(package.name for package in PACKAGES)})
# How long the tests of one mutation may take, and those of all on the unchanged tree; a run that takes longer hangs.
LIMIT_S, UNCHANGED_LIMIT_S = 300.0, 1500.0


class ResultRecorder:
    """A pytest plugin: what became of each test, by its id; of a test with many cases until the first is red."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self._red: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the ids of all cases where none is run."""
        if session.config.option.collectonly:
            self.outcomes.update((item.nodeid, "collected") for item in session.items)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip the further cases of a test that is red by one of them."""
        if drop_case(item.nodeid) in self._red:
            pytest.skip("the test is red already")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a test's own result; a fixture that fails is no result of the test."""
        if report.when == "call":
            self.outcomes[report.nodeid] = report.outcome
            if report.failed:
                self._red.add(drop_case(report.nodeid))
        elif report.failed:
            self.outcomes[report.nodeid] = "error"


@dataclass
class ChildRun:
    """A child at work; `results` is the file it writes."""

    pid: int
    began: float
    results: Path
    limit_s: float

    def read_outcomes(self) -> dict[str, str] | None:
        """Return what became of the tests once the child has ended, None before; end one that takes too long."""
        ended, _ = os.waitpid(self.pid, os.WNOHANG)
        if not ended and time.monotonic() - self.began > self.limit_s:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            ended = self.pid
        if not ended:
            return None
        found: dict[str, str] = json.loads(self.results.read_text("utf-8")) if self.results.exists() else {}
        return found


@dataclass(frozen=True)
class CheckoutCopy:
    """A copy of the checkout that is changed for one run after another; its log is that of the last."""

    folder: Path

    @classmethod
    def make(cls, root: Path, folder: Path) -> "CheckoutCopy":
        """Return a fresh copy. Raises CannotCopy."""
        copy_checkout(root, folder)
        return cls(folder)

    def copy(self, folder: Path) -> "CheckoutCopy":
        """Return a copy of this one."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder, symlinks=True)
        return CheckoutCopy(folder)

    def change(self, edit: SourceEdit) -> Callable[[], None]:
        """Change a file, and return what puts it back as it was. Raises InvalidMutation."""
        path = self.folder / edit.file
        before, at = path.read_text(encoding="utf-8"), path.stat()
        path.write_text(edit.apply_to(before), encoding="utf-8")

        def put_back() -> None:
            path.write_text(before, encoding="utf-8")
            os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))

        return put_back

    def start(self, tests: Sequence[str], *, unchanged: bool = False, only_import: bool = False) -> ChildRun:
        """Begin a run of these tests, or only import what they need and list their cases.

        Only where nothing is changed is bytecode kept: a file that is changed has another time than its bytecode says.
        """
        results = self.folder / "results.json"
        results.unlink(missing_ok=True)
        end_with_parent = prepare_death_signal(signal.SIGINT)
        pid = os.fork()
        if pid == 0:
            end_with_parent()
            options = ("--collect-only",) if only_import else ()
            _be_child(self.folder, (*options, *tests), results, keep_bytecode=unchanged)
        return ChildRun(pid, time.monotonic(), results, UNCHANGED_LIMIT_S if unchanged else LIMIT_S)


def warm_up() -> None:
    """Import what every run needs and no mutation changes; pytest's plugins of others stay away, none is used here."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)


def _be_child(folder: Path, arguments: Sequence[str], results: Path, *, keep_bytecode: bool) -> None:
    """Run pytest and end, whatever happens; never returns."""
    try:
        os.setpgid(0, 0)
        log = os.open(folder / "run.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        recorder = ResultRecorder()
        _move_to(folder)
        sys.dont_write_bytecode = not keep_bytecode
        pytest.main(["-q", "--rootdir", str(folder), "-p", "no:cacheprovider", *arguments], plugins=[recorder])
        results.write_text(json.dumps(recorder.outcomes), encoding="utf-8")
    except BaseException:  # noqa: BLE001 - the parent sees that there are no results
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)


def _move_to(folder: Path) -> None:
    """Leave the checkout this process began in: its folder and its modules are forgotten."""
    began = Path.cwd()
    os.chdir(folder)
    sys.path[:] = [each for each in sys.path if each and Path(each).resolve() != began.resolve()]
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
