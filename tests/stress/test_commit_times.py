"""When writes committed, between their call and their answer."""

from dataclasses import replace

from stress.commit_times import SHOWN, CommitTime, Facts, draw_commit_times, list_commit_times
from stress.ledger import CallSample, PlannedCall

CALL = PlannedCall("claim", "POST", "/claims", "127.0.0.2", key="key-1")
SAMPLE = CallSample("claims", CALL, 10.0, 10.0, 10.030, 201)
FACTS: Facts = {
    # The database's clock is 1,000 s ahead; one reading was held up.
    "clock": [
        {"before": 1.0, "database": 1001.1, "after": 1.2},
        {"before": 2.0, "database": 1002.1, "after": 2.2},
        {"before": 3.0, "database": 1003.0, "after": 5.0},
    ],
    "commit": [{"xid": 7, "lsn": 1, "at": 1010.020}, {"xid": 8, "lsn": 2, "at": 1010.005}],
    "key": [{"key": "key-1", "xid": 7}, {"key": "key-2", "xid": 8}, {"key": "key-3", "xid": 9}],
}


def test_a_commit_is_timed_from_its_call_by_the_clock_of_the_run() -> None:
    """The fastest answer is first; a replay, a refusal and a write without its commit in the log are left out."""
    fast = replace(SAMPLE, call=replace(CALL, key="key-2"), done_s=10.010)
    others = [
        replace(SAMPLE, replayed=True),
        replace(SAMPLE, attempt=2),
        replace(SAMPLE, status=409),
        replace(SAMPLE, call=replace(CALL, key="key-3")),
        replace(SAMPLE, call=replace(CALL, key=None)),
    ]
    times = list_commit_times([SAMPLE, *others, fast], FACTS)
    assert [(round(each.committed_ms), round(each.answered_ms)) for each in times] == [(5, 10), (20, 30)]


def test_the_chart_shows_writes_from_the_fastest_to_the_slowest() -> None:
    """Of many writes an even choice is drawn, the first and the last among them."""
    times = [CommitTime(n / 2, n) for n in range(1, 202)]
    answered, committed = draw_commit_times(times).lines
    assert len(answered.points) == len(committed.points) == SHOWN
    assert (answered.points[0], answered.points[-1]) == ((0.0, 1), (100.0, 201))
    assert all(low <= high for (_, low), (_, high) in zip(committed.points, answered.points, strict=True))
    assert draw_commit_times([]).lines[0].points == []
    assert len(draw_commit_times(times[:1]).lines[0].points) == 2
