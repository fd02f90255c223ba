"""When writes committed between their call and their answer, by the time in the commit's record in PostgreSQL's log."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stress.ledger import CallSample
from stress.model import Chart, ChartLine

SHOWN = 40  # writes of the chart, spread evenly from the fastest to the slowest
LEAST_MS = 0.1  # of a logarithmic axis; a time read from two clocks is not better than that

Facts = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class CommitTime:
    """The milliseconds from a call to its commit, and to its answer."""

    committed_ms: float
    answered_ms: float


def list_commit_times(samples: Iterable[CallSample], facts: Facts) -> list[CommitTime]:
    """Return the times of all keyed writes whose commit is in the log, the fastest answer first.

    The database's clock is set against the run's by the middle of its readings.
    """
    ahead_s = statistics.median(
        [each["database"] - (each["before"] + each["after"]) / 2 for each in facts["clock"]] or [0.0]
    )
    committed = {each["xid"]: float(each["at"]) - ahead_s for each in facts["commit"]}
    transactions = {each["key"]: each["xid"] for each in facts["key"]}
    times = [
        CommitTime((committed[xid] - sample.sent_s) * 1000, (sample.done_s - sample.sent_s) * 1000)
        for sample in samples
        if sample.is_accepted and not sample.replayed and sample.attempt == 1
        for xid in [transactions.get(sample.call.key)]
        if xid in committed
    ]
    return sorted(times, key=lambda each: each.answered_ms)


def draw_commit_times(times: Sequence[CommitTime]) -> Chart:
    """Return a chart of when writes committed and were answered, over how many were answered faster."""
    last = max(1, min(SHOWN, len(times)) - 1)
    shown = [(100 * n / last, times[round(n * (len(times) - 1) / last)]) for n in range(last + 1)] if times else []
    lines = [
        ChartLine("answered", [(share, max(LEAST_MS, each.answered_ms)) for share, each in shown]),
        ChartLine("committed", [(share, max(LEAST_MS, each.committed_ms)) for share, each in shown]),
    ]
    title = f"{len(times):,} writes: each committed before its answer"
    return Chart(title, "% of the writes, the fastest first", "ms after the call", lines, log=True)
