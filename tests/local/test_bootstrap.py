"""Making the environments on a bare machine."""

from pathlib import Path

import pytest

from local import bootstrap


def project(root: Path, requirements: str) -> Path:
    """A checkout with one environment's requirements."""
    (root / "requirements").mkdir()
    (root / "requirements/some.txt").write_text(requirements)
    return root


def test_an_environment_is_made_once_and_again_when_its_requirements_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stamp is a hash of the requirements: no change, no work."""
    root = project(tmp_path, "# nothing\n")
    bootstrap.ensure(["some"], root)
    first = capsys.readouterr().err
    bootstrap.ensure(["some"], root)
    second = capsys.readouterr().err
    (root / "requirements/some.txt").write_text("# changed\n")
    bootstrap.ensure(["some"], root)
    assert "environment some: ready" in first
    assert second == ""
    assert "environment some: ready" in capsys.readouterr().err


def test_a_failed_installation_shows_what_pip_said_and_is_tried_again(tmp_path: Path) -> None:
    """A requirement without its hash is refused, by name, and leaves no stamp."""
    root = project(tmp_path, "no-such-package==1.0\n")
    with pytest.raises(bootstrap.CannotInstall, match="no-such-package"):
        bootstrap.ensure(["some"], root)
    assert not bootstrap.is_current("some", root)


def test_a_python_without_ensurepip_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's python3 has no ensurepip until python3-venv is installed: say so instead of a traceback."""
    root = project(tmp_path, "# nothing\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(bootstrap.CannotInstall, match=r"apt install python3\.\d+-venv"):
        bootstrap.ensure(["some"], root)


def test_a_python_that_is_too_old_is_refused_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the oldest version that will do."""
    monkeypatch.setattr("sys.version_info", (3, 9, 2))
    with pytest.raises(bootstrap.CannotInstall, match=r"Python 3\.11 or newer"):
        bootstrap.check_python()
