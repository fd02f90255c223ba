"""Copies of the checkout to be broken: the code is the copy's own, the installed packages are the original's."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from stress.controls.model import InvalidControl, NegativeControl

ENVIRONMENTS = Path(".venvs")
LAYER = ENVIRONMENTS / "layer"
LAYER_CODE = "shared"  # our own package in the layer, which the local cloud links to its own checkout


class CannotCopy(Exception):
    """The checkout's files could not be listed; the message says why."""


def copy_checkout(root: Path, to: Path) -> None:
    """Copy the files that git tracks or would add, and link the environments. Raise CannotCopy.

    Delete what was at the target before.
    """
    shutil.rmtree(to, ignore_errors=True)
    for name in list_files(root):
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, target, follow_symlinks=False)
    link_environments(root, to)


def list_files(root: Path) -> list[str]:
    """Return the checkout's present files, relative to it. Raise CannotCopy."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotCopy(f"git cannot list the checkout's files: {done.stderr.strip()}")
    return sorted({name for name in done.stdout.split("\0") if name and _is_copied(root, Path(name))})


def _is_copied(root: Path, name: Path) -> bool:
    there = root / name
    return name.parts[0] != str(ENVIRONMENTS) and (there.is_symlink() or there.is_file())


def link_environments(root: Path, to: Path) -> None:
    """Link the virtual environments one by one, but make a layer of the copy's own, which links to our code.

    Were the layer shared, the last checkout to start would decide whose code both run.
    """
    (to / ENVIRONMENTS).mkdir(parents=True)
    for environment in (root / ENVIRONMENTS).iterdir():
        if (environment / "bin/python").exists():
            (to / ENVIRONMENTS / environment.name).symlink_to(environment.resolve())
    for place, target in _list_layer_links(root / LAYER):
        (to / LAYER / place).parent.mkdir(parents=True, exist_ok=True)
        (to / LAYER / place).symlink_to(target)
    if (to / LAYER).exists():
        shutil.copy2(root / LAYER / ".stamp", to / LAYER / ".stamp")


def _list_layer_links(layer: Path) -> Iterator[tuple[str, Path]]:
    """Yield the installed packages of the layer; none if it was never built: then the copy builds it."""
    if (layer / ".stamp").exists():
        for package in (layer / "python").iterdir():
            if package.name != LAYER_CODE:
                yield f"python/{package.name}", package.resolve()


def apply_patch(control: NegativeControl, root: Path) -> None:
    """Patch the files below `root`, all or none. Raise InvalidControl, with the control's name and git's output."""
    # A copy lies in the original's repository, where git silently skips paths that begin at the root of the copy.
    outside_any_repository = {**os.environ, "GIT_DIR": os.devnull}
    command = ["git", "-C", str(root), "apply", "-"]
    done = subprocess.run(
        command, input=control.patch, capture_output=True, text=True, check=False, env=outside_any_repository
    )
    if done.returncode != 0:
        reasons = "; ".join(done.stderr.strip().splitlines())
        raise InvalidControl(f"{control.name}: its patch does not apply to the code of today: {reasons}")
