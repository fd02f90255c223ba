"""The stage in Docker is left out if no container can be run, fails if its tests do, and ends in time."""

import subprocess
from pathlib import Path

import pytest

from tests.sam import engine, isolated

needs_namespaces = pytest.mark.skipif(
    subprocess.run([*isolated.NAMESPACES, "true"], capture_output=True, check=False).returncode != 0,
    reason="this machine makes no namespaces",
)


def write_program(folder: Path, name: str, script: str) -> None:
    """Write a shell script as a program."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs are found before the machine's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin")
    return folder


def test_the_line_of_an_engine_that_does_not_start_is_said(
    programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An engine does so without control groups."""
    write_program(programs, "dockerd", 'echo level=info; echo "failed to start daemon: cgroup isn\'t mounted"; exit 1')
    write_program(programs, "docker", "exit 1")
    assert engine.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == ("Docker's engine did not start: failed to start daemon: cgroup isn't mounted\n")


def test_the_line_of_an_engine_that_runs_no_container_is_said(
    programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An engine does so without the right to mount."""
    write_program(programs, "dockerd", "exec sleep 60")
    run = 'echo "mount: operation not permitted" >&2; exit 125'
    write_program(programs, "docker", f"case $1 in import) cat >/dev/null;; run) {run};; esac")
    assert engine.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == "Docker ran no container: mount: operation not permitted\n"


def test_an_import_that_breaks_off_is_not_waited_for(
    programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The archive is larger than a pipe holds."""
    write_program(programs, "dockerd", "exec sleep 60")
    write_program(programs, "docker", 'case $1 in import) echo "no space left on device" >&2; exit 1;; esac')
    assert engine.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == "Docker ran no container: no space left on device\n"


def test_without_docker_the_command_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says why, and the table of stages repeats it; the stage doesn't fail."""
    monkeypatch.setattr(isolated, "find_obstacle", lambda: "an engine of its own needs root")
    monkeypatch.setenv("STAGE_NOTE", str(tmp_path / "note"))
    assert isolated.main(["touch", str(tmp_path / "ran")]) == 0
    assert capsys.readouterr().out == "sam local was not run in Docker: an engine of its own needs root\n"
    assert (tmp_path / "note").read_text() == "SKIPPED sam local, no Docker: an engine of its own needs root"
    assert not (tmp_path / "ran").exists()


@needs_namespaces
@pytest.mark.parametrize(("command", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 9)])
def test_the_status_of_the_command_is_the_stages(monkeypatch: pytest.MonkeyPatch, command: str, status: int) -> None:
    """Tests that fail in Docker fail CI."""
    monkeypatch.setattr(isolated, "find_obstacle", lambda: None)
    assert isolated.main(["sh", "-c", command]) == status


@needs_namespaces
def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Processes too that have left its group and its session, as those of containers have."""
    monkeypatch.setattr(isolated, "find_obstacle", lambda: None)
    monkeypatch.setattr(isolated, "LIMIT_S", 3.0)
    assert isolated.main(["sh", "-c", f"setsid tail -f /dev/null {tmp_path} & touch {tmp_path}/began; wait"]) == 1
    assert "was ended" in capsys.readouterr().err
    assert (tmp_path / "began").exists()
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert [command for command in commands if str(tmp_path).encode() in command] == []
