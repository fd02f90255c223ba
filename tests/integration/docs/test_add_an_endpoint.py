"""The how-to about a new endpoint, followed to the letter in a copy of the checkout."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from stress.controls.checkout_copies import copy_checkout
from tests.services import ROOT

HOW_TO = (ROOT / "docs/how-to/add-an-endpoint.md").read_text(encoding="utf-8")
STEP = re.compile(r"^In `([^`]+)`, (?:before `([^`]+)`|at the end)\n```\w+\n(.*?)```$", re.MULTILINE | re.DOTALL)
TEMPLATE = "template.yaml"
OWN_TEST = "tests/integration/claims/test_transitions.py::test_staff_read_which_states_a_claim_may_go_to"
PERMISSIONS = "tests/integration/access/test_permissions.py"
DEPLOYED = "tests/template/test_routes.py::test_the_contract_is_what_is_deployed"
LIMIT_S = 170


@dataclass(frozen=True)
class FollowedStep:
    """One step of the how-to: a text that goes into a file, before a line or at the end."""

    file: str
    before: str
    text: str

    def apply(self, root: Path) -> None:
        """Put the text where the how-to says; the line must be there once."""
        path = root / self.file
        content = path.read_text(encoding="utf-8")
        if not self.before:
            path.write_text(content + self.text, encoding="utf-8")
            return
        assert f"\n{content}".count(f"\n{self.before}") == 1, f"{self.file} has not one line {self.before!r}"
        head, _, rest = f"\n{content}".partition(f"\n{self.before}")
        path.write_text(f"{head}\n{self.text}{self.before}{rest}".removeprefix("\n"), encoding="utf-8")


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the copy's environment in the copy."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    program = [str(root / ".venvs/dev/bin" / command[0]), *command[1:]]
    environment["PYTHONPATH"] = "layers/shared"
    return subprocess.run(
        program, cwd=root, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


@pytest.fixture(scope="module")
def steps() -> list[FollowedStep]:
    """Return the how-to's steps in their order."""
    found = [FollowedStep(file, before, text) for file, before, text in STEP.findall(HOW_TO)]
    assert len(found) == HOW_TO.count("\nIn `")
    return found


def test_the_how_to_leads_to_an_endpoint_that_all_checks_accept(tmp_path: Path, steps: list[FollowedStep]) -> None:
    """Before the template has it, `make routes` prints the entry that the how-to shows, and nothing else."""
    copy_checkout(ROOT, tmp_path / "checkout")
    root = tmp_path / "checkout"
    of_template = [step for step in steps if step.file == TEMPLATE]
    for step in steps:
        if step.file == TEMPLATE:
            printed = run(root, "python", "-m", "tools.routes")
            assert printed.returncode == 1
            entries = "".join(line for line in printed.stderr.splitlines(keepends=True) if line.startswith("        "))
            assert entries == step.text
        step.apply(root)
    assert len(of_template) == 1
    for command in (
        ("python", "-m", "tools.routes"),
        ("python", "-m", "tools.openapi"),
        ("python", "-m", "tools.events"),
        ("python", "-m", "tools.api_page"),
        ("ruff", "check", "functions", "tools", "tests/integration", "tests/template"),
        ("ruff", "format", "--check", "functions", "tools", "tests/integration", "tests/template"),
        ("pytest", "-q", OWN_TEST, DEPLOYED),
        ("pytest", "-q", "-k", "next-states or operation or public or hole", PERMISSIONS),
    ):
        done = run(root, *command)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
