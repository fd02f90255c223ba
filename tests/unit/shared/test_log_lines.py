"""Lines and metrics have the form that Powertools for AWS Lambda gives them."""

import contextlib
import importlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import date
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics

from shared.logging import RUNTIME_VARIABLE, JsonLineFormatter, print_metrics

SERVICE = "members"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
FACTS: dict[str, Any] = {
    "request_id": "r-1",
    "parent_span_id": None,
    "count": 3,
    "share": 0.5,
    "frames": ["a.py:1:f"],
    "limit": {"name": "read", "rest": None},
    "id": UUID(int=7),
    "day": date(2026, 11, 27),
    "plate": "Prishtinë ⟨Ш⟩",
    "is_slow": False,
}


def take_line(log: Callable[..., None], stream: io.StringIO, **options: Any) -> str:
    """Return the line that an event of these facts becomes."""
    log("transaction_retried", extra=dict(FACTS), **options)
    return stream.getvalue()


def make_ours(name: str, service: str) -> tuple[logging.Logger, io.StringIO]:
    """Return a logger with the format of ours, and where its lines go."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLineFormatter(service))
    ours = logging.Logger(name, logging.INFO)  # noqa: LOG001 - one of its own, with this handler alone
    ours.addHandler(handler)
    return ours, stream


def drop_moment(line: str) -> dict[str, Any]:
    """Return a line without what differs from one moment to the next, after a look at its form."""
    content: dict[str, Any] = json.loads(line)
    assert content.pop("timestamp").endswith("+00:00")
    return content


@pytest.mark.parametrize(("service", "trace"), [("members", None), ("claims", TRACE)])
def test_a_line_is_powertools_own(service: str, trace: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same fields in the same order, values written alike, no line break within."""
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    if trace:
        monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    theirs_to = io.StringIO()
    theirs = Logger(service=service, use_rfc3339=True, utc=True, stream=theirs_to)
    ours, ours_to = make_ours("ours.lines", service)
    expected, found = take_line(theirs.warning, theirs_to), take_line(ours.warning, ours_to)
    assert drop_moment(found) == drop_moment(expected)
    assert list(json.loads(found)) == list(json.loads(expected))
    moment = json.loads(found)["timestamp"]
    assert found == expected.replace(json.loads(expected)["timestamp"], moment)


def test_an_exception_that_is_passed_by_mistake_is_not_printed() -> None:
    """Its message may quote a row."""
    ours, stream = make_ours("ours.exceptions", SERVICE)
    line = take_line(ours.error, stream, exc_info=ValueError("besa@example.test"))
    assert "besa@example.test" not in line
    assert "ValueError" not in line


def test_metrics_are_printed_as_powertools_prints_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several in one line, with a dimension of their own beside the stack's and the service's."""
    monkeypatch.setenv("STACK_NAME", "interdomestik-test")
    theirs = EphemeralMetrics(namespace="Interdomestik", service=SERVICE)
    theirs.add_dimension(name="stack", value="interdomestik-test")
    theirs.add_dimension(name="version", value="7")
    theirs.add_metric(name="Unhealthy", unit="Count", value=1)
    theirs.add_metric(name="JobsOldestPendingSeconds", unit="Seconds", value=2.5)
    theirs.flush_metrics()
    print_metrics(SERVICE, [("Unhealthy", "Count", 1), ("JobsOldestPendingSeconds", "Seconds", 2.5)], version="7")
    expected, found = capsys.readouterr().out.splitlines()
    moments = [json.loads(line)["_aws"]["Timestamp"] for line in (expected, found)]
    assert abs(moments[1] - moments[0]) < 60_000
    assert found == expected.replace(str(moments[0]), str(moments[1]))


@contextlib.contextmanager
def import_anew() -> Iterator[ModuleType]:
    """Import the module once more, as a new environment does, without touching the one that is there."""
    kept = sys.modules.pop("shared.logging")
    try:
        yield importlib.import_module("shared.logging")
    finally:
        sys.modules["shared.logging"] = kept


@pytest.mark.parametrize(
    ("variable", "level"), [("", logging.INFO), ("debug", logging.DEBUG), ("ERROR", logging.ERROR)]
)
def test_the_level_is_the_templates(variable: str, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`LOG_LEVEL` says it, in any case; INFO if it says nothing."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"level-{level}")
    monkeypatch.setenv("LOG_LEVEL", variable)
    with import_anew() as module:
        assert (module.logger.name, module.logger.level) == (f"level-{level}", level)


@pytest.mark.parametrize("in_lambda", [True, False])
def test_under_the_runtime_client_a_line_is_printed_once(in_lambda: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's handler is the root's, so nothing may go up to it there."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"once-{in_lambda}")
    monkeypatch.delenv(RUNTIME_VARIABLE, raising=False)
    if in_lambda:
        monkeypatch.setenv(RUNTIME_VARIABLE, "127.0.0.1:1")
    with import_anew() as module:
        assert module.logger.propagate is not in_lambda
