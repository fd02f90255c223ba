"""Run a command where Docker's containers meet nobody: in network, mount and process namespaces of its own.

    python -m tests.sam.isolated COMMAND …

Its only network is a loopback interface, so nobody else reaches what listens there. What an engine has mounted and
started ends with the command, and the command after LIMIT_S at the latest. If Docker can't run a container on this
machine, one line says why, the table of stages shows it (tools/stages.py), and the command is not run.
"""

import fcntl
import os
import platform
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.sam.builds import KEPT
from tests.sam.image import LAMBDA_PYTHON, RUNTIME, read_lambda_python_version

PROGRAMS = ("dockerd", "docker", "unshare", "tar", "ldd", "ldconfig")
# The first process that dies takes all others of its process namespace with it; unshare's end kills the first one.
NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
INSIDE = "--inside"  # before the command: the namespaces are there
# Six times what tests/sam/docker takes, with one event of each function and with each event by `sam local invoke`.
LIMIT_S = 3600.0 if os.environ.get("INVOKE") == "all" else 900.0
TRIAL_S = 120.0
# linux/sockios.h and linux/if.h
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
FLAGS = "16sh22x"  # struct ifreq with its flags


def main(arguments: list[str]) -> int:
    """Run the command and return its status; 0 if Docker can't run here, 1 if the command took too long."""
    if arguments[:1] == [INSIDE]:
        raise_loopback()
        return run_as_first_process(arguments[1:])
    if reason := find_obstacle():
        print(f"sam local was not run in Docker: {reason}")
        note_skipped(reason)
        return 0
    try:
        return run_isolated(arguments, LIMIT_S, env={**os.environ, KEPT: "1"}).returncode
    except subprocess.TimeoutExpired:
        print(f"sam local in Docker was ended, since it took more than {LIMIT_S / 60:.0f} minutes", file=sys.stderr)
        return 1


def note_skipped(reason: str) -> None:
    """Tell the table of stages that the containers were left out."""
    if note := os.environ.get("STAGE_NOTE"):
        Path(note).write_text(f"SKIPPED sam local, no Docker: {reason}", encoding="utf-8")


def run_isolated(command: Sequence[str], limit_s: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in the namespaces. Raise subprocess.TimeoutExpired; nothing of it runs then."""
    inside = [*NAMESPACES, sys.executable, "-m", "tests.sam.isolated", INSIDE, *command]
    with subprocess.Popen(inside, text=True, **options) as process:
        try:
            output, errors = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            kill_first_process(process.pid)
            process.wait()
            raise
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(inside, process.returncode, output, errors)


def kill_first_process(unshare: int) -> None:
    """Kill the first process of the namespace that `unshare`, a process id, has made.

    The kernel lets it end only after all others of its namespace, and unshare ends after it. Were unshare killed, it
    would be gone at once, and the others a little later.
    """
    for child in Path(f"/proc/{unshare}/task/{unshare}/children").read_text(encoding="ascii").split():
        os.kill(int(child), signal.SIGKILL)


def run_as_first_process(command: list[str]) -> int:
    """Run a command as the child of a namespace's first process, which collects orphans; return its status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the command too, and its end is waited for
    child = os.posix_spawnp(command[0], command, os.environ, setsigdef=[signal.SIGINT])
    while True:
        ended, status = os.wait()
        if ended == child:
            return abs(os.waitstatus_to_exitcode(status))


def find_obstacle() -> str | None:
    """Return why Docker can't run on this machine; None if it has run a container."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return f"the stage is for Linux on x86_64, this is {platform.system()} on {platform.machine()}"
    if os.geteuid() != 0:
        return "an engine of its own needs root"
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"{', '.join(missing)} missing (Debian: apt install docker.io)"
    if not Path(LAMBDA_PYTHON).exists() or read_lambda_python_version() != RUNTIME:
        return "the stand-in for Lambda's image is made of Python 3.13, and there is none"
    if subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode != 0:
        return "this machine makes no namespaces"
    return try_container()


def try_container() -> str | None:
    """Return why an engine has not run a container; None if it has."""
    with TemporaryDirectory() as folder:
        try:
            trial = run_isolated(
                [sys.executable, "-m", "tests.sam.engine", folder],
                TRIAL_S,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except subprocess.TimeoutExpired:
            return f"the engine ran no container within {TRIAL_S:.0f} s"
    said = (trial.stdout + trial.stderr).splitlines()
    return (said or ["its trial failed"])[-1] if trial.returncode else None


def raise_loopback() -> None:
    """Bring up the loopback interface of a new network namespace."""
    with socket.socket() as interface:
        request = struct.pack(FLAGS, b"lo", 0)
        (_, flags) = struct.unpack(FLAGS, fcntl.ioctl(interface, SIOCGIFFLAGS, request))
        fcntl.ioctl(interface, SIOCSIFFLAGS, struct.pack(FLAGS, b"lo", flags | IFF_UP))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
