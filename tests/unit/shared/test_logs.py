"""Events that alarms watch are counted where they happen."""

import json
from typing import Any

import pytest

from shared.logging import COUNTED, observe


def read_printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the metrics printed since the last look."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return [line for line in lines if "_aws" in line]


@pytest.mark.parametrize(("event", "metric"), list(COUNTED.items()))
def test_each_event_that_is_counted_adds_one(
    event: str, metric: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metric has the namespace and the dimensions that alarms name."""
    monkeypatch.setenv("STACK_NAME", "interdomestik-test")
    observe(event, {})
    observe(event, {})
    documents = read_printed(capsys)
    found = [(document[metric], document["stack"], document["service"]) for document in documents]
    assert found == [([1.0], "interdomestik-test", "fleet")] * 2
    [described] = documents[0]["_aws"]["CloudWatchMetrics"]
    assert (described["Namespace"], described["Dimensions"]) == ("Interdomestik", [["stack", "service"]])


def test_other_events_are_lines_of_the_log_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Retries are counted by the fleet's table, for one."""
    observe("transaction_retried", {"sqlstate": "40001", "attempt": 1})
    assert read_printed(capsys) == []


@pytest.mark.parametrize("name", ["", None])
def test_a_stack_without_a_name_is_unknown(
    name: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CloudWatch refuses a metric whose dimension has no value."""
    monkeypatch.delenv("STACK_NAME", raising=False)
    if name is not None:
        monkeypatch.setenv("STACK_NAME", name)
    observe("housekeeping_task_failed", {})
    assert [document["stack"] for document in read_printed(capsys)] == ["unknown"]
