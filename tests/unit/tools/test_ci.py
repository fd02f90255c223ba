"""CI installs Docker and npm if it can, else goes on: programs of the test stand for those of the machine."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.services import ROOT

NEEDED = ("bash", "dirname", "rm")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The only folder where programs are found, without Docker; apt-get and the like write down what they are told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(shutil.which(name) or name)
    write_program(folder, "id", "echo 0")
    write_program(folder, "install", "exit 0")
    write_program(folder, "timeout", 'shift; "$@"')
    write_program(folder, "apt-get", f'echo "$*" >> {tmp_path}/asked')
    return folder


def write_program(folder: Path, name: str, script: str) -> None:
    """Write a shell script as a program."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def install_docker(programs: Path) -> tuple[str, list[str]]:
    """Return what .ci/run says while it installs Docker, and what it asked apt-get for; it must not fail."""
    return call_function(programs, "install_docker")


def call_function(programs: Path, name: str) -> tuple[str, list[str]]:
    """Return what a function of .ci/run says, and what it asked apt-get for; it must not fail."""
    script = f"source {ROOT}/.ci/run; {name}"
    environment = {"PATH": str(programs)}
    bash = str(programs / "bash")
    done = subprocess.run([bash, "-c", script], env=environment, capture_output=True, text=True, check=True)
    asked = programs.parent / "asked"
    return done.stdout, asked.read_text().splitlines() if asked.exists() else []


def test_docker_is_installed(programs: Path) -> None:
    """Its command line comes too, which Debian 13 has in a separate package."""
    said, asked = install_docker(programs)
    assert said == "ci: installing docker.io\n"
    assert asked == ["update -qq", "install -y -qq --no-install-recommends docker.io docker-cli"]


def test_docker_that_is_there_is_taken(programs: Path) -> None:
    """Nothing is installed then."""
    write_program(programs, "dockerd", "exit 1")
    write_program(programs, "docker", "exit 1")
    assert install_docker(programs) == ("", [])


def test_an_older_debian_has_one_package(programs: Path) -> None:
    """That package holds the command line, too."""
    refuse = 'case "$*" in *docker-cli*) exit 100;; esac'
    write_program(programs, "apt-get", f'echo "$*" >> {programs.parent}/asked; {refuse}')
    said, asked = install_docker(programs)
    assert said == "ci: installing docker.io\n"
    assert asked[-1] == "install -y -qq --no-install-recommends docker.io"


@pytest.mark.parametrize("failing", ["update", "install", ""])
def test_a_machine_without_the_package_goes_on(programs: Path, failing: str) -> None:
    """The stage itself says that it is left out."""
    write_program(programs, "apt-get", f'case "$1" in {failing}*) exit 100;; esac')
    said, _ = install_docker(programs)
    assert ("docker.io can't be installed" in said) is (failing != "update")


def test_another_user_than_root_goes_on(programs: Path) -> None:
    """Nothing is installed then."""
    write_program(programs, "id", "echo 1000")
    said, asked = install_docker(programs)
    assert said == "ci: Docker is not installed, and this user can't install it\n"
    assert asked == []


def install_npm(programs: Path) -> tuple[str, list[str]]:
    """Return what .ci/run says while it installs npm, and what it asked apt-get for; it must not fail."""
    return call_function(programs, "install_npm")


def test_npm_is_installed(programs: Path) -> None:
    """The linter of the API's description needs it."""
    said, asked = install_npm(programs)
    assert said == "ci: installing npm\n"
    assert asked[-1] == "install -y -qq --no-install-recommends nodejs npm"


def test_npm_that_is_there_is_taken(programs: Path) -> None:
    """Nothing is installed then."""
    write_program(programs, "npm", "exit 1")
    assert install_npm(programs) == ("", [])


@pytest.mark.parametrize("failing", ["update", "install", ""])
def test_a_machine_without_npm_goes_on(programs: Path, failing: str) -> None:
    """The stage itself says that it is left out."""
    write_program(programs, "apt-get", f'case "$1" in {failing}*) exit 100;; esac')
    said, _ = install_npm(programs)
    assert ("npm can't be installed" in said) is (failing != "update")


INSTALLING_MINUTES = 10  # before the limit counts: what the machine lacks


@pytest.mark.parametrize("target", ["ci", "nightly"])
def test_ci_ends_by_itself_before_its_host_ends_it(programs: Path, target: str) -> None:
    """Else the output of the stage that hangs would be lost."""
    workflow = (ROOT / f".github/workflows/{target}.yml").read_text(encoding="utf-8")
    job, step = workflow.split("run: .ci/run")
    [ends_after] = re.findall(r"timeout-minutes: (\d+)", job)
    given = re.search(r'^ +MOST_MINUTES: "(\d+)"', step, re.MULTILINE)
    limit, _ = call_function(programs, f"MOST_MINUTES={given[1] if given else ''} choose_limit {target}")
    assert int(limit) + INSTALLING_MINUTES <= int(ends_after)


@pytest.mark.parametrize(("answer", "demanded"), [("echo false", "1"), ("echo true", ""), ("exit 128", "")])
def test_the_previous_release_is_demanded_where_all_of_the_history_is(
    programs: Path, answer: str, demanded: str
) -> None:
    """A shallow clone, and a folder that is no repository, skip its tests."""
    write_program(programs, "git", answer)
    said, _ = call_function(programs, 'demand_history; echo "${WITH_HISTORY:-}"')
    assert said == f"{demanded}\n"
    assert "\n    demand_history\n" in (ROOT / ".ci/run").read_text(encoding="utf-8").partition("\nmain() {")[2]
