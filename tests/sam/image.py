"""A stand-in for SAM's image of Lambda's Python runtime, made of what this machine has: no image is pulled.

It has what SAM and the functions use of the real one: Python 3.13 with its standard library in /var/lang, the runtime
interface client in /var/runtime, /var/runtime/bootstrap, which calls a wrapper script as the real one does, and the few
programs that SAM's own Dockerfile runs.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from local.state_folder import ROOT

RUNTIME = (3, 13)
NAME = "public.ecr.aws/lambda/python:3.13-x86_64"  # as SAM names the real one
LAMBDA_PYTHON = ROOT / ".venvs/lambda/bin/python"
PROGRAMS = ("sh", "mv", "chmod")
# Libraries that wheels may take from the system (PEP 599), if Python itself does not load them.
SYSTEM_LIBRARIES = re.compile(r"lib(rt|dl|pthread|util|resolv|nsl|gcc_s|stdc\+\+|z|m)\.so\.[0-9]+ .*=> (/\S+)")
# Parts of the standard library that no function imports.
LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages", "config-*")
BOOTSTRAP = """#!/bin/sh
export PYTHONPATH=/var/task:/opt/python:/var/runtime
exec $AWS_LAMBDA_EXEC_WRAPPER /var/lang/bin/python3.13 -m awslambdaric "$_HANDLER"
"""
ENVIRONMENT = (
    "ENV PATH=/var/lang/bin:/usr/bin:/bin LANG=en_US.UTF-8 LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime"
)
LIBRARY = re.compile(r"(/\S+) \(0x")


def read_lambda_python_version() -> tuple[int, ...]:
    """Return the version of the Python that has the runtime interface client."""
    program = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([str(LAMBDA_PYTHON), "-c", program], capture_output=True, text=True, check=True)
    return tuple(map(int, done.stdout.split()))


def import_image(folder: Path) -> None:
    """Make the image in an empty folder and give it the name of the real one. Raise subprocess.CalledProcessError."""
    write_root(folder)
    import_root(folder, NAME, ENVIRONMENT, "WORKDIR /var/task")


def import_root(folder: Path, name: str, *changes: str) -> None:
    """Make an image of a root file system. Raise subprocess.CalledProcessError."""
    options = [word for change in changes for word in ("--change", change)]
    # The block's end closes the pipe before it waits, so that tar ends even if docker has not read all of it.
    with subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE) as archive:
        command = ["docker", "import", *options, "-", name]
        subprocess.run(command, stdin=archive.stdout, capture_output=True, check=True)
    if archive.returncode:
        raise subprocess.CalledProcessError(archive.returncode, "tar", stderr=b"")


def write_root(folder: Path) -> None:
    """Write the root file system into an empty folder."""
    program = "import sys, sysconfig; print(sys.base_prefix); print(sysconfig.get_path('purelib'))"
    done = subprocess.run([str(LAMBDA_PYTHON), "-c", program], capture_output=True, text=True, check=True)
    prefix, packages = map(Path, done.stdout.split())
    library = f"lib/python{RUNTIME[0]}.{RUNTIME[1]}"
    shutil.copytree(prefix / library, folder / "var/lang" / library, ignore=shutil.ignore_patterns(*LEFT_OUT))
    python = folder / f"var/lang/bin/python{RUNTIME[0]}.{RUNTIME[1]}"
    python.parent.mkdir(parents=True)
    shutil.copy(LAMBDA_PYTHON.resolve(), python)
    shutil.copytree(packages, folder / "var/runtime", ignore=shutil.ignore_patterns("pip", "pip-*"))
    bootstrap = folder / "var/runtime/bootstrap"
    bootstrap.write_text(BOOTSTRAP)
    bootstrap.chmod(0o755)
    for program in PROGRAMS:
        copy_file(Path(shutil.which(program) or program), folder / "bin" / program)
    binaries = [python, *(folder / "bin").iterdir(), *folder.rglob("*.so")]
    for shared in find_libraries(binaries):
        copy_file(shared, folder / shared.relative_to("/"))
    for empty in ("tmp", "opt", "var/task", "var/rapid", "etc"):
        (folder / empty).mkdir(parents=True, exist_ok=True)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")


def copy_file(source: Path, target: Path) -> None:
    """Copy a file to a place whose folder may be missing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source.resolve(), target)


def find_libraries(binaries: Iterable[Path]) -> set[Path]:
    """Return the shared libraries that programs load, the loader included, and those that wheels may load."""
    loaded = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False)
    known = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True)
    paths = [*LIBRARY.findall(loaded.stdout), *(path for _, path in SYSTEM_LIBRARIES.findall(known.stdout))]
    return set(map(Path, paths))
