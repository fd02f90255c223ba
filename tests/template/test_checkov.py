"""Each check that `make checkov` leaves out has a reason, and cfn-lint leaves out none.

tests/checkov shows that each exception is still needed.
"""

import re

from tests.services import ROOT
from tests.template.translation import DATABASE, TEMPLATE

CONFIGURATION = (ROOT / ".checkov.yaml").read_text(encoding="utf-8")


SKIPS = "skip-check:\n"
EXCEPTIONS = ("ignore_checks", "checkov:")  # the words by which a template makes one


def list_skipped_checks() -> dict[str, str]:
    """Return the checks that are left out, each with its reason."""
    left_out = CONFIGURATION.partition(SKIPS)[2]
    return dict(re.findall(r"^  - (CKV\w+)(?: # (.+))?$", left_out, re.MULTILINE))


def test_every_check_that_is_left_out_has_its_reason() -> None:
    """The reason is on its own line, in words; no check stands twice."""
    reasons = list_skipped_checks()
    assert len(reasons) == len(CONFIGURATION.partition(SKIPS)[2].splitlines())
    assert [name for name, reason in reasons.items() if len(reason.split()) < 4] == []


def test_both_templates_are_looked_at() -> None:
    """The nested one is found by nothing else."""
    assert "\nfile: [template.yaml, templates/database.yaml]\n" in CONFIGURATION


def test_the_linter_leaves_nothing_out() -> None:
    """cfn-lint and checkov also take exceptions from a template's metadata and from a file; there is none."""
    for path in (TEMPLATE, DATABASE):
        text = path.read_text(encoding="utf-8")
        assert [word for word in EXCEPTIONS if word in text] == [], path.name
    assert list(ROOT.glob(".cfnlintrc*")) == []
    [line] = [line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if "/cfn-lint " in line]
    assert line.partition("/cfn-lint ")[2].split() == ["template.yaml", "templates/database.yaml"]
