"""Making the environments on a bare machine."""

import sys
from pathlib import Path

import pytest

from local import bootstrap


def make_project(root: Path, requirements: str) -> Path:
    """Return a checkout with one environment's requirements."""
    (root / "requirements").mkdir()
    (root / "requirements/some.txt").write_text(requirements)
    return root


def test_an_environment_is_made_once_and_again_when_its_requirements_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stamp is a hash of the requirements: no change, no work."""
    root = make_project(tmp_path, "# nothing\n")
    bootstrap.ensure(["some"], root)
    first = capsys.readouterr().err
    bootstrap.ensure(["some"], root)
    second = capsys.readouterr().err
    (root / "requirements/some.txt").write_text("# changed\n")
    bootstrap.ensure(["some"], root)
    assert "environment some: ready" in first
    assert second == ""
    assert "environment some: ready" in capsys.readouterr().err


@pytest.fixture
def made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a checkout whose environment is up to date."""
    root = make_project(tmp_path, "# nothing\n")
    bootstrap.ensure(["some"], root)
    capsys.readouterr()
    return root


def run_as_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process look like another supported Python, as a terminal with another PATH would find it."""
    monkeypatch.setattr("sys.version", "3.12.99 (main) [GCC 12.2.0]")
    monkeypatch.setattr("sys.base_prefix", "/opt/another-python")


def test_a_working_environment_of_another_supported_python_is_kept(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cloud may be running in it: another PATH or no HOME is no reason to take it away."""
    run_as_another_python(monkeypatch)
    kept = made / ".venvs/some/kept"
    kept.touch()
    bootstrap.ensure(["some"], made)
    assert (capsys.readouterr().err, kept.exists()) == ("", True)


def test_other_requirements_are_installed_into_the_environment_that_works(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another Python may do this; programs that run in the environment go on."""
    run_as_another_python(monkeypatch)
    kept = made / ".venvs/some/kept"
    kept.touch()
    (made / "requirements/some.txt").write_text("# changed\n")
    bootstrap.ensure(["some"], made)
    assert "environment some: ready" in capsys.readouterr().err
    assert kept.exists()
    assert bootstrap.is_current("some", made)


def test_a_python_that_was_asked_for_gets_an_environment_of_its_own(made: Path) -> None:
    """PYTHON=… names it: one that works by another Python is made anew."""
    configuration = made / ".venvs/some/pyvenv.cfg"
    configuration.write_text(configuration.read_text().replace(sys.version.split()[0], "3.12.99"))
    assert bootstrap.is_current("some", made)
    assert not bootstrap.is_current("some", made, exact=True)
    bootstrap.ensure(["some"], made, exact=True)
    assert bootstrap.is_current("some", made, exact=True)


@pytest.mark.parametrize("answer", ["exit 127", "echo 'Python 3.10 is not supported'; exit 1", "echo another version"])
def test_an_environment_that_no_longer_runs_is_not_current(made: Path, answer: str) -> None:
    """Its Python was removed, is too old, or is another than it was installed with."""
    python = made / ".venvs/some/bin/python"
    python.unlink()
    python.write_text(f"#!/bin/sh\n{answer}\n")
    python.chmod(0o755)
    assert not bootstrap.is_current("some", made)


def test_an_environment_whose_python_was_removed_works_again(made: Path) -> None:
    """A link that leads nowhere, as after an upgrade of the system's Python."""
    python = made / ".venvs/some/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    bootstrap.ensure(["some"], made)
    assert bootstrap.is_current("some", made)


def test_a_python_that_is_too_old_may_use_what_is_there(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes nothing, so it need not be able to; other requirements it refuses."""
    monkeypatch.setattr("sys.version_info", (3, 9, 2))
    bootstrap.ensure(["some"], made)
    (made / "requirements/some.txt").write_text("# changed\n")
    with pytest.raises(bootstrap.CannotInstall, match=r"Python 3\.11 or newer"):
        bootstrap.ensure(["some"], made)


def test_a_failed_installation_shows_what_pip_said_and_is_tried_again(tmp_path: Path) -> None:
    """A requirement without its hash is refused, by name, and leaves no stamp."""
    root = make_project(tmp_path, "no-such-package==1.0\n")
    with pytest.raises(bootstrap.CannotInstall, match="no-such-package"):
        bootstrap.ensure(["some"], root)
    assert not bootstrap.is_current("some", root)


def test_a_python_without_ensurepip_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's python3 has no ensurepip until python3-venv is installed: say so instead of a traceback."""
    root = make_project(tmp_path, "# nothing\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(bootstrap.CannotInstall, match=r"apt install python3\.\d+-venv"):
        bootstrap.ensure(["some"], root)


def test_a_python_that_is_too_old_is_refused_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the oldest version that will do."""
    monkeypatch.setattr("sys.version_info", (3, 9, 2))
    with pytest.raises(bootstrap.CannotInstall, match=r"Python 3\.11 or newer"):
        bootstrap.check_python()
