"""Nine releases under the load of 50 users, of writes, reads and jobs, each broken in another way but the last."""

import time
from pathlib import Path

import pytest

from tests.alarms.declared_troubles import TROUBLES
from tests.measurements import record
from tests.rollback.rehearsal import ALL, IN_PROGRESS, run_rehearsal
from tests.settings.alarms import ALARMS


def test_nine_releases_lose_no_write_double_none_and_tell_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Releases that don't start are refused, the others rolled back by their version's alarm; the good one stays."""
    with capsys.disabled(), run_rehearsal(tmp_path, ALL) as rehearsal:
        figures = rehearsal.list_figures()
        record("rollback_long", **figures)
        ended = {name: (result.outcome, result.alarm) for name, result in rehearsal.results.items()}
        assert ended == {planned.name: (planned.outcome, planned.alarm) for planned in ALL}, rehearsal.reports
        assert rehearsal.differences == []
        assert rehearsal.misplaced == {}, "an alias is not where it must be"
        assert rehearsal.told == []
        assert figures["given_up"] == 0
        assert TROUBLES["a release is checked"].rings == {IN_PROGRESS}
        until_now = rehearsal.list_minutes_in_progress(time.time())
        over = rehearsal.watched.watch(ALARMS[IN_PROGRESS].datapoints[1] + 3)
        until_over = rehearsal.list_minutes_in_progress(over)
        assert (until_now[-1], until_over[-1]) == (True, False), "it ends, and so does the wait for it"
        good = rehearsal.results[ALL[-1].name]
        assert 1 <= good.calls_seen < good.calls_total / 2, "the good one had some of the calls first, not all"
