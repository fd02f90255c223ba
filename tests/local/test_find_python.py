"""The choice of the Python of the environments: Lambda's version if the machine has it, else another supported one."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.services import ROOT

SCRIPT = ROOT / "local/find_python.sh"
TOOLS = ("sh", "grep", "cat")


def make_python(path: Path, version: str) -> None:
    """Write a program that answers the script's question as a Python of that version does."""
    supported = int(version.split(".")[1]) >= 11
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'#!/bin/sh\n[ "$2" = "{version}" ] || {{ [ -z "$2" ] && {str(supported).lower()}; }} || exit 1\necho "$0"\n'
    )
    path.chmod(0o755)


def make_broken_shim(path: Path) -> None:
    """Write what pyenv puts on the PATH for a version that is installed but not chosen."""
    path.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    path.chmod(0o755)


def make_pyenv(folder: Path, versions: Path) -> None:
    """Write a version manager that knows where its versions are."""
    (folder / "pyenv").write_text(f'#!/bin/sh\n[ -d "{versions}/$2" ] && echo "{versions}/$2"\n')
    (folder / "pyenv").chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a PATH with nothing but what the script itself needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = next(Path(place, tool) for place in os.defpath.split(":") if Path(place, tool).exists())
        (folder / tool).symlink_to(found)
    return folder


def find(folder: Path, *version: str) -> str:
    """Return what the script prints on that PATH; empty where nothing fits."""
    done = subprocess.run(
        [str(folder / "sh"), str(SCRIPT), *version],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (done.stdout != "")
    return done.stdout.strip()


def test_the_version_that_lambda_runs_goes_before_the_usual_python(folder: Path) -> None:
    """If both are installed, the tests run on what production runs on."""
    make_python(folder / "python3", "3.12")
    make_python(folder / "python3.13", "3.13")

    assert find(folder) == str(folder / "python3.13")


def test_a_version_manager_is_asked_where_its_shim_refuses(folder: Path, tmp_path: Path) -> None:
    """The name is on the PATH and does not run; the manager's own command knows the real one."""
    make_python(folder / "python3", "3.11")
    make_broken_shim(folder / "python3.13")
    make_python(tmp_path / "versions/3.13/bin/python", "3.13")
    make_pyenv(folder, tmp_path / "versions")

    assert find(folder) == str(tmp_path / "versions/3.13/bin/python")


def test_another_supported_python_will_do(folder: Path) -> None:
    """No 3.13 anywhere: python3 as it is, if it is new enough, else a newer one under its own name."""
    make_python(folder / "python3", "3.9")
    assert find(folder) == ""

    make_python(folder / "python3.11", "3.11")
    assert find(folder) == str(folder / "python3.11")

    make_python(folder / "python3", "3.14")
    assert find(folder) == str(folder / "python3")


def test_with_a_version_no_other_will_do(folder: Path) -> None:
    """The lane of the oldest version must not run on the newest."""
    make_python(folder / "python3", "3.13")

    assert find(folder, "3.11") == ""
    assert find(folder, "3.13") == str(folder / "python3")


def test_the_script_prefers_the_runtime_of_the_template() -> None:
    """Functions run on this version, the layer is built for it, and tests run on it."""
    runtime = re.findall(r"^    Runtime: python(\S+)$", (ROOT / "template.yaml").read_text(), re.M)
    layer = re.findall(r"^RUNTIME := (\S+)$", (ROOT / "layers/shared/compiler.mk").read_text(), re.M)
    preferred = re.findall(r"^LAMBDA=(\S+)", SCRIPT.read_text(), re.M)

    assert runtime == layer == preferred
    assert len(preferred) == 1
