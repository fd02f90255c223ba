"""Makes the virtual environments from requirements/*.txt, with the standard library alone.

    python3 -m local.bootstrap [--folder .venvs/python3.11] local emulator lambda

Each lands in `<folder>/<name>`, by default `.venvs/<name>`, and is left alone while its requirements and its Python
stay the same.
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

ROOT = Path(__file__).resolve().parent.parent
VENVS = ".venvs"
OLDEST_PYTHON = (3, 11)
LOG_TAIL_LINES = 15  # of pip's output, shown when it fails
WORKERS = 2  # pip is bound by unpacking: more at once only makes each slower


class CannotInstall(Exception):
    """An environment could not be made; the message says what to do."""


def main(arguments: list[str]) -> int:
    """Make the named environments; return 0 when all are there."""
    parser = argparse.ArgumentParser(prog="python -m local.bootstrap")
    parser.add_argument("--folder", default=VENVS, help="where they go, below the checkout")
    parser.add_argument("names", nargs="+", metavar="NAME", help="requirements/NAME.txt")
    options = parser.parse_args(arguments)
    try:
        ensure(options.names, ROOT, options.folder)
    except CannotInstall as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def ensure(names: list[str], root: Path, folder: str = VENVS) -> None:
    """Bring the named environments up to date, one caller at a time. Raise CannotInstall."""
    check_python()
    venvs = root / folder
    venvs.mkdir(parents=True, exist_ok=True)
    with (venvs / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stale = [name for name in names if not is_current(name, root, folder)]
        if stale:
            check_venv()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda name: install(name, root, venvs), stale))


def check_python() -> None:
    """Raises CannotInstall where this Python is too old."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        found, needed = sys.version.split()[0], ".".join(map(str, OLDEST_PYTHON))
        raise CannotInstall(
            f"Python {needed} or newer is needed, this is {found}. Name another: make … PYTHON=python3.13"
        )


def check_venv() -> None:
    """Raises CannotInstall where this Python cannot make virtual environments (Debian splits it off)."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        raise CannotInstall(
            f"This Python cannot make virtual environments: its venv or ensurepip module is missing.\n"
            f"On Debian and Ubuntu: apt install python{version}-venv. Or name another Python: make … PYTHON=/path/to/it"
        )


def is_current(name: str, root: Path, folder: str = VENVS) -> bool:
    """Return whether the environment was made from these requirements by this Python."""
    venv = root / folder / name
    stamp = venv / ".stamp"
    return (venv / "bin/python").exists() and stamp.exists() and stamp.read_text() == fingerprint(name, root)


def fingerprint(name: str, root: Path) -> str:
    """What an environment depends on, as hex: its requirements and the Python that made it."""
    requirements = (root / "requirements" / f"{name}.txt").read_bytes()
    return hashlib.sha256(requirements + sys.version.encode() + sys.base_prefix.encode()).hexdigest()


def install(name: str, root: Path, venvs: Path) -> None:
    """Make one environment anew, or add what it lacks. Raise CannotInstall with pip's last lines."""
    started = time.monotonic()
    requirements = root / "requirements" / f"{name}.txt"
    venv, log = venvs / name, venvs / f"{name}.log"
    say(f"environment {name}: installing {count(requirements)} packages …")
    if not made_by_this_python(venv):
        shutil.rmtree(venv, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(venv)], name, log)
    run([str(venv / "bin/python"), *PIP, "--require-hashes", "-r", str(requirements)], name, log)
    (venv / ".stamp").write_text(fingerprint(name, root))
    say(f"environment {name}: ready after {time.monotonic() - started:.0f} s")


def say(text: str) -> None:
    """A line of progress, on stderr: `make -s token` prints a token and nothing else."""
    print(text, file=sys.stderr, flush=True)


PIP = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps", "--progress-bar", "off"]


def count(requirements: Path) -> int:
    """How many packages a requirements file pins."""
    return sum(1 for line in requirements.read_text().splitlines() if line[:1].isalnum())


def made_by_this_python(venv: Path) -> bool:
    """Whether the folder is a working environment of this very version (3.11.7 is not 3.11.8)."""
    configuration = venv / "pyvenv.cfg"
    if not (venv / "bin/python").exists() or not configuration.exists():
        return False
    version = sys.version.split()[0]
    return any(line.split("=")[-1].strip() == version for line in configuration.read_text().splitlines())


def run(command: list[str], name: str, log: Path) -> None:
    """Run a step of an installation; its output goes to the log. Raise CannotInstall."""
    with log.open("a") as output:
        status = subprocess.run(command, stdout=output, stderr=output, env=environment(), check=False).returncode
    if status != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        raise CannotInstall(f"environment {name}: installing failed, {log} ends with\n{tail}")


def environment() -> dict[str, str]:
    """This process's environment without what would send packages to another place."""
    diverting = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    return {name: value for name, value in os.environ.items() if name not in diverting}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
