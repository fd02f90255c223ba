"""What is stated in several files says the same in all of them."""

import re
import tomllib

from tests.services import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_the_newest_one_in_the_changelog() -> None:
    """Changes that are not released yet stand above it."""
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", CHANGELOG, re.MULTILINE)
    assert PROJECT["version"] == released[0]


def test_tools_take_the_python_that_lambda_runs() -> None:
    """Version managers, the container for development, CI and the template."""
    wanted = (ROOT / ".python-version").read_text().strip()
    assert f"Runtime: python{wanted}" in (ROOT / "template.yaml").read_text()
    assert f'"image": "python:{wanted}-' in (ROOT / ".devcontainer/devcontainer.json").read_text()
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert re.findall(r'python-version: "(.*)"', workflow) == [wanted, oldest]
