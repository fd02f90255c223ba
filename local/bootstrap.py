"""The installer of the virtual environments from requirements/*.txt; needs the standard library only.

    python3 -m local.bootstrap [--folder .venvs/python3.11] [--this-python] local emulator lambda

Each environment is `<folder>/<name>`, by default `.venvs/<name>`. It is reused while its requirements are unchanged and
its Python still runs, even if another Python runs this module: another terminal may find another Python while a cloud
is running.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
VENVS = ".venvs"
OLDEST_PYTHON = (3, 11)
PATIENCE_S = 30  # an environment's Python that prints nothing for this long counts as broken
LOG_TAIL_LINES = 15  # of pip's output, shown when it fails
INTERRUPTED = 130  # the status of a shell's command that Ctrl-C ended
WORKERS = 2  # pip is limited by unpacking files; more workers only slow each other down


class CannotInstall(Exception):
    """An environment could not be made; the message says what to do."""


def main(arguments: list[str]) -> int:
    """Create the named environments; return 0 when all are ready."""
    parser = argparse.ArgumentParser(prog="python -m local.bootstrap")
    parser.add_argument("--folder", default=VENVS, help="where they go, below the checkout")
    parser.add_argument("--this-python", action="store_true", help="make environments of another Python anew")
    parser.add_argument("names", nargs="+", metavar="NAME", help="requirements/NAME.txt")
    options = parser.parse_args(arguments)
    try:
        ensure(options.names, ROOT, options.folder, exact=options.this_python)
    except CannotInstall as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the next call of make installs what is missing", file=sys.stderr)
        return INTERRUPTED
    return 0


def ensure(names: list[str], root: Path, folder: str = VENVS, *, exact: bool = False) -> None:
    """Bring the named environments up to date; concurrent callers wait for each other. Raise CannotInstall.

    Keep a working environment of any supported Python; with `exact`, only one of the Python that runs this.
    """
    venvs = root / folder
    venvs.mkdir(parents=True, exist_ok=True)
    with (venvs / ".lock").open("w") as lock:
        wait_for_lock(lock)
        stale = [name for name in names if not is_current(name, root, folder, exact=exact)]
        if stale:
            check_python()
            check_venv()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda name: install(name, root, venvs, exact=exact), stale))


def wait_for_lock(lock: IO[str]) -> None:
    """Lock the file, and say so if another installation has to end first."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        report_progress("environments: waiting for another installation …")
        fcntl.flock(lock, fcntl.LOCK_EX)


def check_python() -> None:
    """Raise CannotInstall if this Python is too old."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        found, needed = sys.version.split()[0], ".".join(map(str, OLDEST_PYTHON))
        raise CannotInstall(
            f"Python {needed} or newer is needed, this is {found}. Name another: make … PYTHON=python3.13"
        )


def check_venv() -> None:
    """Raise CannotInstall if this Python cannot create virtual environments (Debian packages venv separately)."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        raise CannotInstall(
            f"This Python cannot make virtual environments: its venv or ensurepip module is missing.\n"
            f"On Debian and Ubuntu: apt install python{version}-venv. Or name another Python: make … PYTHON=/path/to/it"
        )


def is_current(name: str, root: Path, folder: str = VENVS, *, exact: bool = False) -> bool:
    """Return whether the environment works and was made from these requirements; with `exact`, also by this Python."""
    venv = root / folder / name
    stamp = venv / ".stamp"
    if not stamp.exists() or (exact and not is_of_this_python(venv)):
        return False
    python = identify_python(venv)
    return python is not None and stamp.read_text() == hash_inputs(name, root, python)


def identify_python(venv: Path) -> str | None:
    """Return a text that identifies the environment's Python; None if it does not run or is no longer supported."""
    command = [str(venv / "bin/python"), "-I", "-c", IDENTIFY, *map(str, OLDEST_PYTHON)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout


# The version and the installation path: an environment breaks when either changes.
IDENTIFY = """import sys
if sys.version_info[:2] < tuple(map(int, sys.argv[1:])):
    sys.exit(1)
sys.stdout.write(sys.version + sys.base_prefix)"""


def hash_inputs(name: str, root: Path, python: str) -> str:
    """Return a hex digest of what an environment depends on: its requirements and its Python."""
    requirements = (root / "requirements" / f"{name}.txt").read_bytes()
    return hashlib.sha256(requirements + python.encode()).hexdigest()


def install(name: str, root: Path, venvs: Path, *, exact: bool = False) -> None:
    """Create one environment, or install what it lacks. Raise CannotInstall with pip's last lines."""
    started = time.monotonic()
    requirements = root / "requirements" / f"{name}.txt"
    venv, log = venvs / name, venvs / f"{name}.log"
    report_progress(f"environment {name}: installing {count(requirements)} packages …")
    if identify_python(venv) is None or (exact and not is_of_this_python(venv)):
        shutil.rmtree(venv, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(venv)], name, log)
    run([str(venv / "bin/python"), *PIP, "--require-hashes", "-r", str(requirements)], name, log)
    (venv / ".stamp").write_text(hash_inputs(name, root, identify_python(venv) or ""))
    report_progress(f"environment {name}: ready after {time.monotonic() - started:.0f} s")


def report_progress(text: str) -> None:
    """Print a progress line on stderr: `make -s token` prints nothing but a token on stdout."""
    print(text, file=sys.stderr, flush=True)


PIP = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps", "--progress-bar", "off"]


def count(requirements: Path) -> int:
    """Return how many packages a requirements file pins."""
    return sum(1 for line in requirements.read_text().splitlines() if line[:1].isalnum())


def is_of_this_python(venv: Path) -> bool:
    """Return whether the folder is a working environment of this exact version (3.11.7 is not 3.11.8)."""
    configuration = venv / "pyvenv.cfg"
    if not (venv / "bin/python").exists() or not configuration.exists():
        return False
    version = sys.version.split()[0]
    return any(line.split("=")[-1].strip() == version for line in configuration.read_text().splitlines())


def run(command: list[str], name: str, log: Path) -> None:
    """Run one command of an installation with its output in the log. Raise CannotInstall."""
    with log.open("a") as output:
        status = subprocess.run(command, stdout=output, stderr=output, env=build_environment(), check=False).returncode
    if status != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        raise CannotInstall(f"environment {name}: installing failed, {log} ends with\n{tail}")


def build_environment() -> dict[str, str]:
    """Return this process's environment variables without those that would redirect pip or Python."""
    diverting = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    return {name: value for name, value in os.environ.items() if name not in diverting}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
