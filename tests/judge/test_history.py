"""The checker of histories: it accepts what a correct service does, and names each thing that one can't have done."""

import gzip
import json
import random
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from judge.history.checker import check_history
from judge.history.limits import count_beyond
from judge.history.model import HistoryCall, HistoryFindings, PromisedLimit, RecordedHistory
from judge.history.reading import FILE, UnreadableHistory, read_history
from judge.history.registers import CREATED, READ, RegisterOperation, _check_order
from stress.scenarios.histories import PROMISES
from tests.judge.made_histories import make_history
from tests.judge.planted_anomalies import PLANTERS
from tests.services import ROOT

SEEDS = 12
CALLS = 600
MANY = 100_000
MANY_WITHIN_S = 30.0  # of processor time, reading included


@pytest.mark.parametrize("seed", range(4 * SEEDS))
def test_a_correct_history_has_no_anomaly(seed: int) -> None:
    """Lost answers, repeats, refusals, stale changes and pages in the midst of writes are all in order."""
    found = check_history(make_history(seed, CALLS))
    assert found.anomalies == []
    assert min(found.judged.values()) > 0, found.judged


def test_each_kind_of_anomaly_is_planted() -> None:
    """Each that the checker can name, and they are more than twenty."""
    kinds = {kind for kind, _ in PLANTERS.values()}
    assert kinds == {kind for kinds in PROMISES.values() for kind in kinds}
    assert len(kinds) >= 20


@pytest.mark.parametrize("name", PLANTERS)
def test_a_planted_anomaly_is_found_and_named(name: str) -> None:
    """It is found in each of many histories, and its kind is named."""
    kind, planter = PLANTERS[name]
    for seed in range(SEEDS):
        history = make_history(seed, CALLS)
        planter(history, random.Random(seed))
        kinds = {anomaly.kind for anomaly in check_history(history).anomalies}
        assert kind in kinds, (seed, kinds)


# ---- the two algorithms, against slow ones that try everything -------------------------------------------------------
def is_linearizable_by_search(operations: list[RegisterOperation]) -> bool:
    """Return whether some order of all operations respects time and gives each read the last version written."""

    def extend(left: frozenset[RegisterOperation], version: int) -> bool:
        if not left:
            return True
        for each in left:
            if any(other.end < each.begin for other in left):
                continue
            fits = each.version == version + 1 if each.kind == CREATED else each.version == version
            if fits and extend(left - {each}, each.version):
                return True
        return False

    return extend(frozenset(operations), 0)


def test_the_order_of_versions_is_judged_as_a_search_through_all_orders_would() -> None:
    """The histories are drawn so that about half of the small ones are possible."""
    verdicts = {True: 0, False: 0}
    for seed in range(600):
        dice = random.Random(seed)
        operations = []
        for n in range(7):
            version, kind = (n + 1, CREATED) if n < 3 else (dice.randint(1, 3), READ)
            begin = version + dice.uniform(-1.2, 1.2)
            operations.append(RegisterOperation(version, kind, begin, begin + dice.uniform(0.1, 1.5), None, n))
        found = HistoryFindings()
        _check_order("one", list(operations), found)
        expected = is_linearizable_by_search(operations)
        assert (found.anomalies == []) == expected, seed
        verdicts[expected] += 1
    assert min(verdicts.values()) > 100, verdicts


def count_beyond_by_search(limit: PromisedLimit, intervals: list[tuple[float, float]]) -> int:
    """Return what `count_beyond` returns, by looking at each stretch."""
    worst = 0
    for begin, _ in intervals:
        for _, end in intervals:
            within = sum(b >= begin and e <= end for b, e in intervals)
            if end >= begin:
                worst = max(worst, within - limit.burst - int((end - begin) * limit.burst / limit.period_s + 1e-6))
    return worst


def test_a_limit_is_judged_as_a_look_at_every_stretch_would() -> None:
    """Counts that are kept and counts that are passed, both."""
    limit, beyond = PromisedLimit("five", 5, 60.0, "account", ()), []
    for seed in range(300):
        dice = random.Random(seed)
        begins = [dice.uniform(0, 60) for _ in range(dice.randint(1, 14))]
        intervals = [(begin, begin + dice.uniform(0, 20)) for begin in begins]
        expected = count_beyond_by_search(limit, intervals)
        assert count_beyond(limit, intervals) == expected, seed
        beyond.append(expected)
    assert beyond.count(0) > 50
    assert len(beyond) - beyond.count(0) > 50


# ---- the file --------------------------------------------------------------------------------------------------------
def write_made_history(history: RecordedHistory, folder: Path) -> Path:
    """Write a history as the harness does; return its path."""
    names = {"calls": "call", "limits": "limit", "effects": "effect", "commits": "commit", "audits": "audit",
             "keys": "key", "rows": "row", "jobs": "job", "mails": "mail", "clock": "clock"}  # fmt: skip
    lines: list[dict[str, Any]] = [{"type": "history", "format": 1}]
    for place, kind in names.items():
        lines += [{"type": kind, **asdict(each)} for each in getattr(history, place)]
    counts = {kind: len(getattr(history, place)) for place, kind in names.items() if getattr(history, place)}
    lines.append({"type": "end", "lines": counts})
    with gzip.open(folder / FILE, "wt", encoding="utf-8", compresslevel=1) as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return folder / FILE


def test_the_command_line_gives_a_verdict_and_its_status(tmp_path: Path) -> None:
    """PASS is 0, FAIL is 1 and names what was found, INVALID is 2."""
    command = [sys.executable, "-S", "-m", "judge.history", str(tmp_path)]

    def judge() -> tuple[int, dict[str, Any]]:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    history = make_history(1, CALLS)
    path = write_made_history(history, tmp_path)
    status, verdict = judge()
    assert (status, verdict["verdict"], verdict["kinds"]) == (0, "PASS", {})
    assert verdict["judged"]["calls"] == len(history.calls)
    history.mails.append(history.mails[0])
    write_made_history(history, tmp_path)
    status, verdict = judge()
    assert (status, verdict["verdict"], verdict["kinds"]) == (1, "FAIL", {"mail-twice": 1})
    path.write_bytes(path.read_bytes()[:-200])
    status, verdict = judge()
    assert (status, verdict["verdict"]) == (2, "INVALID")


def test_a_history_that_lacks_a_line_is_not_read(tmp_path: Path) -> None:
    """Its last line counts all others, so a lost one is noticed wherever it was."""
    path = write_made_history(make_history(1, 100), tmp_path)
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    for lost in (0, 1, len(lines) // 2, len(lines) - 1):
        path.write_bytes(gzip.compress(b"".join(lines[:lost] + lines[lost + 1 :])))
        with pytest.raises(UnreadableHistory):
            read_history(path)


def measure_seconds(calls: int, folder: Path) -> float:
    """Return the processor seconds to read and judge a history, the best of two."""
    path = write_made_history(make_history(1, calls, calls // 125), folder)
    spent = []
    for _ in range(2):
        began = time.process_time()
        assert check_history(read_history(path)).anomalies == []
        spent.append(time.process_time() - began)
    return min(spent)


def test_a_hundred_thousand_calls_are_judged_in_half_a_minute(tmp_path: Path) -> None:
    """And an eighth of them in about an eighth of that: an algorithm of n squared would take 64 times as long."""
    few, many = measure_seconds(MANY // 8, tmp_path), measure_seconds(MANY, tmp_path)
    assert many <= MANY_WITHIN_S
    assert many / few < 12, (few, many)


def test_one_record_and_one_client_with_all_calls_take_no_longer() -> None:
    """The worst case of each algorithm: a single record, and a single client of a limit."""

    def measure(count: int) -> float:
        calls = [
            HistoryCall(
                n,
                "made",
                "look",
                "GET /claims/{id}",
                "a",
                n * 1.1,
                n * 1.1 + 2,
                200,
                account="one",
                record="r",
                version=1,
                request=f"r{n}",
            )
            for n in range(count)
        ]
        limit = PromisedLimit("read", 60, 60.0, "account", ("GET /claims/{id}",))
        base = make_history(1, 50)
        record = next(row.record for row in base.rows if row.version == 1)
        base.calls += [_rename(call, record, len(base.calls) + 10**6) for call in calls]
        base.limits.append(limit)
        began = time.process_time()
        check_history(base)
        return time.process_time() - began

    assert measure(20_000) / measure(5_000) < 6


def _rename(call: HistoryCall, record: str, later: int) -> HistoryCall:
    return HistoryCall(**{**asdict(call), "record": record, "begin": call.begin + later, "end": call.end + later,
                          "items": None})  # fmt: skip
