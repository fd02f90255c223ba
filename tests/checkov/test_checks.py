"""Checkov finds nothing in what is deployed but what is left out with a reason, and would still find each of these.

One run without `skip-check` answers both. It needs the environment of `make checkov`.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services import ROOT
from tests.template.test_checkov import CONFIGURATION, SKIPS, list_skipped_checks

CHECKOV = ROOT / ".venvs/checkov/bin/checkov"
QUIET = "quiet: true\n"
TEMPLATES = ("template.yaml", "templates/database.yaml")


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return checkov's results on the templates with nothing left out, each with the file it is about.

    It runs in a folder with copies: in the root, it would read `.checkov.yaml` as well. Not quiet: its report then has
    what passed, too.
    """
    folder = tmp_path_factory.mktemp("checkov")
    for template in TEMPLATES:
        (folder / template).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / template, folder / template)
    nothing_left_out = CONFIGURATION.partition(SKIPS)[0].replace(QUIET, "")
    (folder / ".checkov.yaml").write_text(nothing_left_out, encoding="utf-8")
    command = [str(CHECKOV), "--config-file", ".checkov.yaml", "--output", "json", "--soft-fail"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(_list_results(json.loads(done.stdout)["results"]))


def _list_results(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    assert report["parsing_errors"] == []
    for outcome in ("passed_checks", "failed_checks"):
        for each in report.get(outcome, []):
            yield {"outcome": outcome, **each}


def list_failed(results: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the resources that each check finds fault with."""
    found: dict[str, list[str]] = {}
    for each in results:
        if each["outcome"] == "failed_checks":
            found.setdefault(each["check_id"], []).append(f"{each['file_path']} {each['resource']}")
    return found


def test_nothing_is_found_but_what_is_left_out(results: list[dict[str, Any]]) -> None:
    """A new finding is mended, or left out with its reason in `.checkov.yaml`."""
    found = list_failed(results)
    assert {name: found[name] for name in found.keys() - set(list_skipped_checks())} == {}


def test_every_check_that_is_left_out_would_find_something(results: list[dict[str, Any]]) -> None:
    """A suppression of what is no longer there would hide the next resource that has it."""
    assert set(list_skipped_checks()) - list_failed(results).keys() == set()


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_is_really_looked_at(results: list[dict[str, Any]], template: str) -> None:
    """A template that can't be read would have no findings either."""
    looked_at = {each["file_path"].lstrip("/") for each in results}
    assert template in looked_at
