"""The history that a run publishes: what its lines say, that they name nobody, and the checks made of its verdict."""

import asyncio
import base64
import gzip
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from judge.history.reading import FILE as JUDGED_FILE
from judge.history.reading import read_history
from shared.settings import DEFAULT_LIMITS
from stress import history
from stress.history_facts import judge_history
from stress.ledger import CallSample, PlannedCall
from stress.scenario_context import ScenarioContext
from stress.scenarios import histories
from tests.services import ROOT

MEMBER, CLAIM = "0192f000-0000-7000-8000-000000000001", "0192f000-0000-7000-8000-000000000002"
TOKEN = f"head.{base64.urlsafe_b64encode(json.dumps({'sub': 'besa'}).encode()).decode().rstrip('=')}.tail"
EMPTY: dict[str, list[dict[str, Any]]] = {"clock": [{"before": 0.0, "database": 9.0, "after": 0.1}]}


def make_move(**changes: Any) -> CallSample:
    """Return a change of a claim, accepted unless `changes` say otherwise."""
    body, headers, facts = {"reason": "Besa was right."}, {"If-Match": '"3"'}, {"subject": CLAIM, "member": MEMBER}
    path = f"/claims/{CLAIM}/transitions"
    call = PlannedCall("move", "POST", path, "127.20.0.1", body, TOKEN, "key-1", headers, facts=facts)
    record = {"id": CLAIM, "version": 4, "title": "Cancelled flight", "email": "besa@example.test"}
    return replace(CallSample("claims", call, 1.0, 1.25, 1.5, 200, record=record, request_id="req-1"), **changes)


def test_a_line_says_what_was_asked_and_answered() -> None:
    """The record, the version that it names, and the version that came back."""
    line = history.describe_call(7, make_move())
    assert (line["id"], line["operation"], line["route"]) == (7, "move", "POST /claims/{id}/transitions")
    assert (line["target"], line["if_match"], line["record"], line["version"]) == (CLAIM, 3, CLAIM, 4)
    assert (line["begin"], line["end"], line["status"], line["request"], line["key"]) == (
        1.25,
        1.5,
        200,
        "req-1",
        "key-1",
    )
    assert line["account"] == history.hash_name("besa")


def test_a_page_has_its_items_its_list_and_its_cursors() -> None:
    """The list is named without the cursor and the size of the page, so that its pages belong together."""
    call = PlannedCall("own claims", "GET", "/claims?limit=1&state=submitted&cursor=abc", "127.20.0.1", token=TOKEN)
    record = {"items": [{"id": CLAIM, "version": 4, "title": "x"}], "next_cursor": "def"}
    line = history.describe_call(0, CallSample("claims", call, 1.0, 1.0, 1.1, 200, record=record))
    assert (line["listing"], line["cursor"], line["next_cursor"]) == ("/claims?state=submitted", "abc", "def")
    assert line["items"] == [(CLAIM, 4)]


def test_what_a_refusal_says_is_not_taken_for_a_record() -> None:
    """A problem has no record and no version."""
    line = history.describe_call(0, make_move(status=412, problem="stale-version"))
    assert (line["status"], line["problem"], "record" in line) == (412, "stale-version", False)


def test_the_file_is_read_by_the_checker_and_names_nobody(tmp_path: Path) -> None:
    """No name, address, token, text or network address is in it."""
    history.write_history([make_move(), make_move(status=0, record=None)], EMPTY, tmp_path / history.FILE)
    read = read_history(tmp_path / JUDGED_FILE)
    assert [call.status for call in read.calls] == [200, 0]
    assert (len(read.effects), len(read.limits)) == (len(history.EFFECTS), len(history.LIMITS))
    text = gzip.decompress((tmp_path / history.FILE).read_bytes()).decode()
    assert all(word not in text for word in ("besa", "Besa", "@", "flight", TOKEN, "127.20"))


def test_the_limits_are_those_that_are_deployed() -> None:
    """The harness states them a second time, as it imports nothing of the service."""
    stated = {str(limit["name"]): (limit["burst"], limit["period_s"]) for limit in history.LIMITS}
    assert stated == {name: value for name, value in DEFAULT_LIMITS.items() if name != "invalid-request"}


def make_context() -> ScenarioContext:
    """Return a context that only records checks."""
    unused = cast("Any", SimpleNamespace())
    return ScenarioContext(key="histories", title="", promise="", profile=unused, generator=unused, call_factory=unused,
                           ledger=unused, progress=unused)  # fmt: skip


GOOD: dict[str, Any] = {"verdict": "PASS", "judged": dict.fromkeys(histories.JUDGED, 5), "kinds": {}, "anomalies": []}


def test_a_clean_verdict_passes_every_check() -> None:
    """One check for each promise, and three about the checking itself."""
    context = make_context()
    histories.record_verdict(context, GOOD)
    assert [check for check in context.checks if not check.passed] == []
    assert len(context.checks) == len(histories.PROMISES) + 3


@pytest.mark.parametrize("kind", [kind for kinds in histories.PROMISES.values() for kind in kinds] + ["brand-new"])
def test_each_kind_of_anomaly_fails_one_check(kind: str) -> None:
    """A kind that the scenario does not know fails one too."""
    context = make_context()
    anomaly = {"kind": kind, "subject": CLAIM, "detail": "call 1 and call 2"}
    histories.record_verdict(context, {**GOOD, "kinds": {kind: 2}, "anomalies": [anomaly]})
    (failed,) = [check for check in context.checks if not check.passed]
    assert kind in failed.found
    assert failed.name.startswith("No anomaly of another kind") == (kind == "brand-new")


def test_a_verdict_about_nothing_is_no_pass() -> None:
    """Something that was judged not once fails, and so does a file that can't be read."""
    context = make_context()
    histories.record_verdict(context, {**GOOD, "judged": {**GOOD["judged"], "mails": 0}})
    assert [check.found for check in context.checks if not check.passed] == ["mails"]
    context = make_context()
    histories.record_verdict(context, {"verdict": "INVALID", "trouble": "it ends early"})
    assert sum(not check.passed for check in context.checks) == len(histories.PROMISES) + 2


def test_each_kind_that_the_checker_knows_belongs_to_a_promise() -> None:
    """Otherwise it would fail only the check for unknown kinds."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "judge/history").glob("*.py"))
    assert all(f'"{kind}"' in source for kinds in histories.PROMISES.values() for kind in kinds)


def test_the_checker_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    """It gives a verdict on what the harness wrote, and on a folder without a history."""
    history.write_history([], EMPTY, tmp_path / history.FILE)
    assert asyncio.run(judge_history(tmp_path))["verdict"] == "PASS"
    assert asyncio.run(judge_history(tmp_path / "none"))["verdict"] == "INVALID"
