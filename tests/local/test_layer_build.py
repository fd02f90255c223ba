"""The build of the layer when several local clouds of one checkout start at the same moment."""

import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import botocore
import pydantic
import pytest

from local.layer_build import INPUTS, BuildFailed, build_layer, compile_folders
from local.processes import read_start_time
from tests.local.gateways import wait_until
from tests.services import ROOT

CLOUDS = 4
# Stands for the interpreter: notes each run of pip, which takes long enough for the others to meet it.
SLOW_PYTHON = """#!/bin/sh
case "$*" in
    -VV) echo "Python 3.13.0" ;;
    *" pip "*)
        echo run >>"{log}"
        while [ $# -gt 1 ]; do shift; done
        mkdir -p "$1/package" && sleep 0.2 && echo code >"$1/package/code.py" ;;
esac
"""
FAILING_PYTHON = """#!/bin/sh
case "$*" in
    *" pip "*) echo "no such package" >&2; exit 1 ;;
esac
"""


def make_checkout(root: Path, python: str) -> Path:
    """Make a checkout with a layer that has one function's sources beside it, and return its interpreter."""
    (root / "layers/shared/shared").mkdir(parents=True)
    (root / "functions/health").mkdir(parents=True)
    (root / "migrations").mkdir()
    for name in INPUTS:
        (root / "layers/shared" / name).write_text("package==1\n")
    interpreter = root / "python"
    interpreter.write_text(python.format(log=root / "pip.log"))
    interpreter.chmod(0o755)
    return interpreter


def test_clouds_that_start_together_build_the_layer_once(tmp_path: Path) -> None:
    """All get the same complete layer: one builds it, and the others wait and say so."""
    python = make_checkout(tmp_path, SLOW_PYTHON)
    together, said = Barrier(CLOUDS), list[str]()

    def build(_number: int) -> Path:
        together.wait()
        return build_layer(tmp_path, str(python), report=said.append)

    with ThreadPoolExecutor(CLOUDS) as pool:
        layers = list(pool.map(build, range(CLOUDS)))

    assert set(layers) == {tmp_path / ".venvs/layer"}
    assert (layers[0] / "python/package/code.py").read_text() == "code\n"
    assert (layers[0] / "python/shared").resolve() == tmp_path / "layers/shared/shared"
    assert (layers[0] / "migrations").resolve() == tmp_path / "migrations"
    assert (tmp_path / "pip.log").read_text() == "run\n"
    assert said.count("layer: installing its packages …") == 1
    assert "layer: waiting for another build of it …" in said


def test_a_failed_build_leaves_the_lock_to_the_next(tmp_path: Path) -> None:
    """A cloud that could not install the layer says why, and does not keep the next one waiting."""
    python = make_checkout(tmp_path, FAILING_PYTHON)
    for _ in range(2):
        with pytest.raises(BuildFailed, match="no such package"):
            build_layer(tmp_path, str(python), report=lambda _text: None)


def test_a_stop_while_files_are_compiled_ends_the_workers_too(tmp_path: Path) -> None:
    """`make down` reaches the supervisor alone; a shell script stands for the compiler."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/worker\nwait\n")
    python.chmod(0o755)

    def request_stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGALRM, request_stop)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            compile_folders(str(python), tmp_path)
    finally:
        signal.signal(signal.SIGALRM, former)
    worker = int((tmp_path / "worker").read_text())
    assert wait_until(lambda: read_start_time(worker) is None)


@pytest.mark.parametrize("compiler", ["no-such-python", "false"])
def test_a_function_is_not_built_without_lambdas_python(compiler: str, tmp_path: Path) -> None:
    """It would be compiled anew in each cold start; the message says what is missing."""
    command = ["make", "build-MembersFunction", f"ARTIFACTS_DIR={tmp_path}", f"COMPILER={compiler}"]
    done = subprocess.run(command, cwd=ROOT / "functions/members", capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"takes Python 3.13, and {compiler} is none" in done.stderr
    assert not list(tmp_path.rglob("*.pyc"))


def test_a_packages_bytecode_does_not_depend_on_where_it_is_built(tmp_path: Path) -> None:
    """The same sources are the same package, with the place that they will have on Lambda."""
    if subprocess.run(["sh", ROOT / "local/find_python.sh", "3.13"], capture_output=True, check=False).returncode:
        pytest.skip("there is no Python 3.13 here")
    found = []
    for name in ("here", "somewhere/else"):
        command = ["make", "build-MembersFunction", f"ARTIFACTS_DIR={tmp_path / name}"]
        subprocess.run(command, cwd=ROOT / "functions/members", capture_output=True, check=True)
        found.append((tmp_path / name / "members/__pycache__/service.cpython-313.pyc").read_bytes())
    assert found[0] == found[1]
    assert b"/var/task/members/service.py" in found[0]


# What is compiled here: much code of several kinds, without the data that comes with it.
SOURCES = (ROOT / "layers/shared/shared", *(Path(str(module.__file__)).parent for module in (botocore, pydantic)))
NO_SOURCES = shutil.ignore_patterns("__pycache__", "data")
COMPILING = "include compiler.mk\nall:\n\t@$(call compile,$(FOLDER),python,/opt)\n"


def test_two_builds_of_the_same_sources_have_the_same_bytecode(tmp_path: Path) -> None:
    """`sam deploy` names code by the hash of all of it: other bytes would be another version of every function."""
    if subprocess.run(["sh", ROOT / "local/find_python.sh", "3.13"], capture_output=True, check=False).returncode:
        pytest.skip("there is no Python 3.13 here")
    (tmp_path / "Makefile").write_text(COMPILING)
    found = []
    for name in ("first", "second"):
        for package in SOURCES:
            shutil.copytree(package, tmp_path / name / "python" / package.name, ignore=NO_SOURCES)
        command = ["make", "-f", str(tmp_path / "Makefile"), "all", f"FOLDER={tmp_path / name}"]
        subprocess.run(command, cwd=ROOT / "layers/shared", capture_output=True, check=True)
        found.append({p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.pyc")})
    assert [path for path, content in found[0].items() if found[1][path] != content] == []
    assert len(found[0]) > 100
