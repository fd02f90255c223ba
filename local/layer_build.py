"""The build of the Lambda layer: packages, cut and compiled, with links to our own package and to the migrations.

The packages are those of a deployed layer, file by file (layers/shared/Makefile). The result stands for /opt. Because
of the links, a change of our own code needs no build.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WORKERS = "2"  # processes of compileall
# What the installed packages depend on, besides the Python.
INPUTS = ("requirements.txt", "contents.toml", "trim_packages.py")


class BuildFailed(Exception):
    """The layer could not be built; the message has pip's last lines."""


def build_layer(root: Path, python: str, *, report: Callable[[str], None]) -> Path:
    """Return the layer's folder, rebuilt only if its requirements or the Python have changed. Raise BuildFailed.

    The layer is kept beside the virtual environments, not in the state, so a reset keeps it. `python` is the
    interpreter that the handlers run on. Clouds of one checkout share the layer, and build it one after another.
    """
    layer = root / ".venvs/layer"
    layer.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(layer.with_name(".layer.lock"), report):
        wanted = hash_inputs(root, python)
        if not (layer / ".stamp").exists() or (layer / ".stamp").read_text() != wanted:
            report("layer: installing its packages …")
            install(root, python, layer)
            (layer / ".stamp").write_text(wanted)
        link_path(layer / "python/shared", root / "layers/shared/shared")
        link_path(layer / "migrations", root / "migrations")
        compile_folders(python, root / "layers/shared/shared", *sorted((root / "functions").iterdir()))
    return layer


@contextmanager
def hold_lock(path: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of all builds of this layer within the block, and say so if another build is waited for."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("layer: waiting for another build of it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def hash_inputs(root: Path, python: str) -> str:
    """Return a hex digest of what the installed packages depend on."""
    version = subprocess.run([python, "-VV"], capture_output=True, check=True).stdout
    inputs = b"".join((root / "layers/shared" / name).read_bytes() for name in INPUTS)
    return hashlib.sha256(inputs + version).hexdigest()


def install(root: Path, python: str, layer: Path) -> None:
    """Install the requirements into a draft folder and cut them, then replace the layer with it. Raise BuildFailed."""
    draft = layer.with_name("layer.draft")
    shutil.rmtree(draft, ignore_errors=True)
    requirements = str(root / "layers/shared/requirements.txt")
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
        "--no-compile",
    ]
    command = [*pip, "--no-deps", "--require-hashes", "-r", requirements, "--target", str(draft / "python")]
    run_step(command, "the layer's packages could not be installed")
    trim = str(root / "layers/shared/trim_packages.py")
    run_step([python, trim, str(draft / "python")], "the layer's packages could not be cut to what is used")
    compile_folders(python, draft / "python", mode="unchecked-hash")
    shutil.rmtree(layer, ignore_errors=True)
    draft.rename(layer)


def run_step(command: list[str], failure: str) -> None:
    """Run a step of the build. Raise BuildFailed with the end of what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildFailed(f"{failure}:\n{done.stderr[-2000:]}")


def compile_folders(python: str, *folders: Path, mode: str = "timestamp") -> None:
    """Compile the files that have changed; a file that doesn't compile fails later, when it is imported.

    By the mode `unchecked-hash`, which deployed layers have, a later change of a source would not be noticed.
    If this process is asked to stop meanwhile, the workers end with it: they are a process group.
    """
    command = [python, "-m", "compileall", "-q", "-q", "-j", WORKERS, "--invalidation-mode", mode, *map(str, folders)]
    compiler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)
    try:
        compiler.wait()
    except BaseException:
        os.killpg(compiler.pid, signal.SIGKILL)
        compiler.wait()
        raise


def link_path(link: Path, target: Path) -> None:
    """Create a symbolic link, or correct it (the checkout may have been moved)."""
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
