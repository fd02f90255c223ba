"""Each check that `make checkov` leaves out has a reason. tests/checkov shows that it is still needed."""

import re

from tests.services import ROOT

CONFIGURATION = (ROOT / ".checkov.yaml").read_text(encoding="utf-8")


SKIPS = "skip-check:\n"


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
