"""A report comes back from its file exactly as it was."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from stress.model import ReadinessReport
from stress.report import store
from tests.stress import sample


@pytest.mark.parametrize("report", [sample.make_mixed_report(), sample.make_passing_report()], ids=["mixed", "passing"])
def test_a_round_trip_is_exact(report: ReadinessReport, tmp_path: Path) -> None:
    """Tuples stay tuples, None stays None, and a second writing changes no byte."""
    path = store.save(report, tmp_path / "new" / "folder")
    loaded = store.load(path.parent)
    assert loaded == report
    assert isinstance(loaded.timeline.throughput[0], tuple)
    written = path.read_bytes()
    assert store.save(loaded, path.parent).read_bytes() == written


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    """A status that does not exist is not read as one that does."""
    path = store.save(sample.make_mixed_report(), tmp_path)
    broken = json.loads(path.read_text())
    broken["results"][0]["status"] = "GREAT"
    path.write_text(json.dumps(broken))
    with pytest.raises(ValidationError, match="GREAT"):
        store.load(tmp_path)
