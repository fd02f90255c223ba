"""The crash points: where they are, what they cost, and that a missing one is noticed."""

import timeit
from functools import _lru_cache_wrapper
from typing import Any

import pytest

from shared import crash_points
from shared.aws import clients
from tests.crash_recovery.syscall_trace import Event, list_uncovered
from tests.measurements import record

SIGNS_ALONE = "_get_rds"  # signs the database's passwords without a request


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the crash points passed in this test."""
    names: list[str] = []
    monkeypatch.setattr(crash_points, "_watcher", names.append)
    return names


def build_clients() -> list[Any]:
    """Return a client of each kind that the functions send requests by."""
    cached = {name: maker for name, maker in vars(clients).items() if isinstance(maker, _lru_cache_wrapper)}
    del cached[SIGNS_ALONE]
    makers = list(cached.values())
    return [maker("sqs") if maker is clients.get_health_client else maker() for maker in makers]


def test_every_client_passes_a_crash_point_before_a_request_and_after_its_answer(
    passed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds for all clients: a new one is built here as well."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    made = build_clients()
    for client in made:
        client.meta.events.emit("before-send.any.Thing", request=None)
        client.meta.events.emit("response-received.any.Thing")
    assert len(made) >= 6
    assert passed == ["before-send.any.Thing", "response-received.any.Thing"] * len(made)


def test_a_crash_point_that_nobody_watches_costs_about_as_much_as_an_empty_call() -> None:
    """A request passes some twenty of them."""

    def nothing(_name: str) -> None:
        return

    def cost(call: Any) -> float:
        return min(timeit.repeat(lambda: call("name"), number=20_000, repeat=7)) / 20_000

    point, call = cost(crash_points.crash_point), cost(nothing)
    record("step_unarmed", microseconds=round(point * 1e6, 3), call_of_nothing=round(call * 1e6, 3))
    assert point <= 3 * call


def make_events(*events: str) -> list[Event]:
    return [(f"{n:02}", "lane", what) for n, what in enumerate(events)]


WHOLE = ("crash point before-send.sqs.Send", "sent http", "sent http", "crash point response-received.sqs.Send")


def test_what_leaves_between_its_crash_points_is_covered() -> None:
    """It leaves in one part or in several."""
    assert list_uncovered(make_events(*WHOLE, "crash point api.ran", *WHOLE)) == []


@pytest.mark.parametrize(
    "events",
    [
        ("sent http",),
        WHOLE[:-1],
        WHOLE[1:],
        (*WHOLE, "sent http", "crash point response-received.sqs.Send"),
        ("crash point database.queued", "sent round trip", "crash point api.ran"),
        (
            "crash point database.connecting",
            "sent connect",
            "crash point database.queued",
            "sent round trip",
            "crash point database.committed",
        ),
    ],
)
def test_what_leaves_without_a_crash_point_before_or_after_it_is_noticed(events: tuple[str, ...]) -> None:
    """A new way out of the process therefore fails the tests that kill, until it has its crash points."""
    assert len(list_uncovered(make_events(*events))) == 1
