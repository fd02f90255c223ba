"""The page about CI shows a whole run that succeeded, and no other can be kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from tools import stages_page


def make_figures(**statuses: int) -> dict[str, Any]:
    """Return the figures of a run whose stages ended with these statuses."""
    stages = [
        {"name": name, "seconds": 90, "status": status, "beside": ["quick"], "note": "SKIPPED a|b"}
        for name, status in statuses.items()
    ]
    return {"commit": "0123456789abcdef", "processors": 2, "total_s": 2712, "stages": stages}


def test_the_page_has_a_row_for_each_stage_and_the_total() -> None:
    """The times are in minutes; the page names the commit, and what was left out."""
    page = stages_page.render(make_figures(alarms=0, sam=0))
    assert "45.2 minutes on 2 processors, at commit `01234567`" in page
    assert "| `alarms` | 1.5 | `quick` | SKIPPED a\\|b |" in page
    assert "| **total** | 45.2 |  |  |" in page


def test_a_whole_run_is_kept(tmp_path: Path) -> None:
    """The page shows it as it was measured."""
    measured, kept = tmp_path / "measured.json", tmp_path / "kept.json"
    measured.write_text(json.dumps(make_figures(alarms=0, sam=0)))
    stages_page.keep_figures(measured, kept)
    assert json.loads(kept.read_text()) == make_figures(alarms=0, sam=0)


@pytest.mark.parametrize("statuses", [{"alarms": 0}, {"alarms": 1, "sam": 0}, {"alarms": -2, "sam": 0}, None])
def test_a_part_of_a_run_and_one_that_failed_are_not_kept(tmp_path: Path, statuses: dict[str, int] | None) -> None:
    """Without any run nothing is kept either."""
    measured, kept = tmp_path / "measured.json", tmp_path / "kept.json"
    if statuses is not None:
        measured.write_text(json.dumps(make_figures(**statuses)))
    with pytest.raises(stages_page.NotMeasured):
        stages_page.keep_figures(measured, kept)
    assert not kept.exists()
