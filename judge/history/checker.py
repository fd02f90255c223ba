"""All checks of a history."""

from judge.history.commits import check_commits
from judge.history.deliveries import check_deliveries
from judge.history.limits import check_limits
from judge.history.model import HistoryFindings, RecordedHistory
from judge.history.pages import check_pages
from judge.history.registers import check_registers


def check_history(history: RecordedHistory) -> HistoryFindings:
    """Return all anomalies of a history, and what was judged."""
    found = HistoryFindings()
    found.count("calls", len(history.calls))
    for check in (check_registers, check_commits, check_pages, check_limits, check_deliveries):
        check(history, found)
    return found
