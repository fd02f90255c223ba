"""A Docker engine of the tests' own, in a network namespace where nobody else is.

    python -m tests.sam.engine FOLDER

starts one with all that it keeps in an empty folder and runs a container, which needs what not every machine has:
control groups, a file system for layers, and the right to mount. A failure becomes one line on stdout and status 1.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sam.image import copy_file, find_libraries, import_root

START_S = 30.0
STOP_S = 20.0
POLL_S = 0.1
# The engine's own proxy publishes ports, and the bridge leads nowhere.
OPTIONS = ("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
SHELL = "/bin/sh"
TRIAL = "trial"  # the name of the image


class EngineNotStarted(Exception):
    """The engine did not start; the message has the end of its log."""


def main(arguments: list[str]) -> int:
    """Run one container; print why it can't be run and return 1 if so."""
    try:
        with run_engine(Path(arguments[0])) as address:
            os.environ["DOCKER_HOST"] = address
            run_container(Path(arguments[0]) / "root")
    except EngineNotStarted as error:
        print(f"Docker's engine did not start: {find_last_line(str(error))}")
        return 1
    except subprocess.CalledProcessError as error:
        print(f"Docker ran no container: {find_last_line(error.stderr.decode(errors='replace'))}")
        return 1
    return 0


def run_container(root: Path) -> None:
    """Run a shell in a container that has nothing else. Raise subprocess.CalledProcessError."""
    for file in (Path(SHELL), *find_libraries([Path(SHELL)])):
        copy_file(file, root / file.relative_to("/"))
    import_root(root, TRIAL)
    subprocess.run(["docker", "run", "--rm", TRIAL, SHELL, "-c", ":"], capture_output=True, check=True)


def find_last_line(text: str) -> str:
    """Return the last line that says something."""
    return ([line for line in text.splitlines() if line.strip()] or ["it says nothing"])[-1]


@contextmanager
def run_engine(folder: Path) -> Iterator[str]:
    """Run dockerd with all that it keeps below `folder`; yield its address, for DOCKER_HOST. Raise EngineNotStarted."""
    address = f"unix://{folder}/docker.sock"
    places = ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    places += ["--pidfile", str(folder / "docker.pid"), "--host", address]
    with (folder / "docker.log").open("wb") as log:
        process = subprocess.Popen(["dockerd", *places, *OPTIONS], stdout=log, stderr=log)
    try:
        wait_until_ready(process, address, folder / "docker.log")
        yield address
    finally:
        process.terminate()
        process.wait(STOP_S)


def wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Return when the engine answers. Raise EngineNotStarted."""
    deadline = time.monotonic() + START_S
    docker = shutil.which("docker") or "docker"
    environment = {**os.environ, "DOCKER_HOST": address}
    while process.poll() is None and time.monotonic() < deadline:
        asked = subprocess.run([docker, "info"], env=environment, capture_output=True, check=False)
        if asked.returncode == 0 and b"ERROR" not in asked.stdout:
            return
        time.sleep(POLL_S)
    raise EngineNotStarted(log.read_text(errors="replace")[-2000:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
