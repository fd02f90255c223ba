"""Each check that `make checkov` leaves out has a reason."""

import re

from tests.services import ROOT

CONFIGURATION = (ROOT / ".checkov.yaml").read_text(encoding="utf-8")


def test_every_check_that_is_left_out_has_its_reason() -> None:
    """The reason is on its own line, in words; no check stands twice."""
    left_out = re.findall(r"^  - (CKV\w+)(?: # (.+))?$", CONFIGURATION.partition("skip-check:\n")[2], re.MULTILINE)

    assert len(left_out) == len(CONFIGURATION.partition("skip-check:\n")[2].splitlines())
    assert [name for name, reason in left_out if len(reason.split()) < 4] == []
    assert len({name for name, _ in left_out}) == len(left_out)


def test_both_templates_are_looked_at() -> None:
    """The nested one is found by nothing else."""
    assert "\nfile: [template.yaml, templates/database.yaml]\n" in CONFIGURATION
