"""A run that a schedule begins is counted, whatever becomes of it: alarms ring when there is none."""

from collections.abc import Callable
from typing import Any

import pytest

from housekeeping import app as housekeeping
from local.events.embedded_metrics import read_metrics
from relay import app as relay
from shared.background import BackgroundError
from shared.logging import SCHEDULED_RUNS, count_first_runs
from tests.api_client import LambdaContext

SCHEDULE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
WAKE_UP = {"Records": [{"messageId": "1", "body": "{}", "eventSource": "aws:sqs"}]}
SECONDS = 30.0


class UnreachableError(Exception):
    """There is nothing to work with."""


def refuse_container() -> None:
    """Raise UnreachableError."""
    raise UnreachableError


def list_counted(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, tuple[float, ...]]]:
    """Return the metrics that were printed, with their values."""
    return [(datum.name, tuple(datum.values)) for datum in read_metrics(capsys.readouterr().out.encode())]


@pytest.mark.parametrize(
    ("app", "event", "counted"),
    [
        (relay, SCHEDULE, ["RelayScheduledRuns"]),
        (relay, WAKE_UP, []),
        (housekeeping, SCHEDULE, ["HousekeepingRuns"]),
    ],
)
def test_a_scheduled_run_is_counted_though_it_fails(
    app: Any, event: dict[str, Any], counted: list[str],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A wake-up is none of the schedule's: it would hide that the schedule stands still."""
    monkeypatch.setattr(app, "get_container", refuse_container)
    handler: Callable[..., object] = app.handler
    with pytest.raises(BackgroundError):
        handler(event, LambdaContext(SECONDS))
    assert list_counted(capsys) == [(name, (1.0,)) for name in counted]


def test_a_deployment_counts_as_a_run_of_every_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    """So no alarm rings before the first runs of a new stack."""
    count_first_runs()
    assert list_counted(capsys) == [(name, (1.0,)) for name in SCHEDULED_RUNS.values()]
