"""The builds of `sam build` for each architecture, and `sam local` prepared for them."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from local.sam.build import run_sam_build
from local.state_folder import ROOT

ARCHITECTURES = ("x86_64", "arm64")
FOLDER = ROOT / "build/sam"
KEPT = "SAM_BUILD_KEPT"  # set where there is no network: the build of the run before is taken
STOP_S = 10.0


def get_build_folder(architecture: str) -> Path:
    """Return the folder of a build."""
    return FOLDER / architecture


def make_build(architecture: str) -> None:
    """Build for an architecture. Raise local.sam.build.SamBuildFailed."""
    shutil.rmtree(get_build_folder(architecture), ignore_errors=True)
    run_sam_build(ROOT, get_build_folder(architecture), architecture)


@cache
def take_build(architecture: str) -> Path:
    """Return the folder of a build, made anew by each run of the tests that can reach the packages."""
    if KEPT not in os.environ:
        make_build(architecture)
    return get_build_folder(architecture)


def copy_build(state: Path) -> None:
    """Put the build for x86_64 where `python -m local.sam --built` of a state folder looks for it."""
    shutil.copytree(take_build("x86_64"), state / "sam/build")


def make_prepare_command(state: Path, *options: str) -> list[str]:
    """Return the command that prepares `sam local` for the cloud of a state folder."""
    command = [str(ROOT / ".venvs/local/bin/python"), "-m", "local.sam", "--state", str(state), "--built", *options]
    return [*command, "--architecture", "x86_64"]


def prepare(state: Path) -> None:
    """Prepare the cloud of a state folder, for functions that run outside of containers."""
    copy_build(state)
    subprocess.run(make_prepare_command(state, "--once"), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def forward_connections(state: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Prepare the cloud of a state folder and forward containers' connections to it; yield what was printed."""
    copy_build(state)
    process = subprocess.Popen(
        make_prepare_command(state), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "forwarding connections" in line:
                break
        yield said
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_S)
