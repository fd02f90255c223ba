"""The previous release: which commit it is, its code in a folder, and its handlers in processes of their own."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from tests.crash_recovery.environment import CrashPoint, ProcessResult
from tests.roles import find_role_of_module
from tests.services import ROOT

FILE = Path(__file__).with_name("previous_release.txt")
SERVER = Path(__file__).with_name("release_server.py")
SHIPPED = ("functions", "layers", "migrations")


class NoSuchCommit(Exception):
    """The commit is not in this repository: a shallow clone, or no clone at all."""


def read_previous_release() -> str:
    """Return the commit that the file names."""
    [commit] = [line for line in FILE.read_text(encoding="utf-8").split("\n") if line and not line.startswith("#")]
    return commit.strip()


def extract_release(commit: str, folder: Path) -> Path:
    """Write what a commit ships into a folder, and return it. Raise NoSuchCommit."""
    top = _run_git("rev-parse", "--show-toplevel").decode().strip()
    content = _run_git("-C", top, "archive", commit, *SHIPPED)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _run_git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        raise NoSuchCommit(done.stderr.decode().strip())
    return done.stdout


class ReleaseProcesses:
    """Runs the handlers of a release in fresh processes, one at a time."""

    def __init__(self, release: Path, environment: Mapping[str, str]) -> None:
        folders = [release / "layers/shared", *sorted((release / "functions").iterdir())]
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), str(release)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=release,
            env={
                **environment,
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(map(str, folders)),
                "MIGRATIONS_DIR": str(release / "migrations"),
            },
            text=True,
        )
        self._lock = Lock()
        assert self._read() == "ready\n", "the release's modules were not imported from its own folder"

    def run(
        self,
        handler: str,
        event: Mapping[str, Any],
        *,
        seconds: float = 28.0,
        kill: CrashPoint | None = None,
        traced: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> ProcessResult:
        """Call a handler as the role of its function, with `environment` added to its variables.

        Processes are neither killed nor traced here.
        """
        assert not kill
        assert not traced
        own = {"DB_USER": find_role_of_module(handler.partition(".")[0]), **(environment or {})}
        call = {"handler": handler, "event": event, "environment": own, "seconds": seconds}
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(call) + "\n")
            self._process.stdin.flush()
            found = json.loads(self._read())
        return ProcessResult([], killed=False, answer=found["answer"], error=found["error"], trace=[])

    def stop(self) -> None:
        """End them."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()
