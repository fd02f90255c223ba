"""Values that several files state are the same in all of them."""

import re
import tomllib

from tests.services import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_the_newest_one_in_the_changelog() -> None:
    """Changes that are not released yet stand above it."""
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", CHANGELOG, re.MULTILINE)
    assert PROJECT["version"] == released[0]


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    """Changes that wait for a release first, then versions, the newest first, each with its day and kinds of change."""
    headings = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    releases = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:]]
    versions = [tuple(map(int, release.groups())) for release in releases if release]
    assert headings[0] == "[Unreleased]"
    assert len(versions) == len(releases)
    assert versions == sorted(versions, reverse=True)
    assert set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)) <= KINDS


def test_tools_take_the_python_that_lambda_runs() -> None:
    """Version managers, the container for development, CI and the template."""
    wanted = (ROOT / ".python-version").read_text().strip()
    assert f"Runtime: python{wanted}" in (ROOT / "template.yaml").read_text()
    assert f'"image": "python:{wanted}-' in (ROOT / ".devcontainer/devcontainer.json").read_text()
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert re.findall(r'python-version: "(.*)"', workflow) == [wanted, oldest]
    nightly = (ROOT / ".github/workflows/nightly.yml").read_text()
    assert re.findall(r'python-version: "(.*)"', nightly) == [wanted]
