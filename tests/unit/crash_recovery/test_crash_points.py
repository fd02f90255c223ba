"""The steps at which tests kill: where they stand, what they cost, and that a missing one is noticed."""

import timeit
from functools import _lru_cache_wrapper
from typing import Any

import pytest

from shared import crash_points
from shared.aws import clients
from tests.crash_recovery.syscall_trace import Event, list_uncovered
from tests.measurements import record


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps passed in this test."""
    names: list[str] = []
    monkeypatch.setattr(crash_points, "_watcher", names.append)
    return names


def built() -> list[Any]:
    """A client of each kind that the functions use."""
    makers = [maker for maker in vars(clients).values() if isinstance(maker, _lru_cache_wrapper)]
    return [maker("sqs") if maker is clients.get_health_client else maker() for maker in makers]


def test_every_client_passes_a_step_before_a_request_and_after_its_answer(
    passed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever clients there are: a new one is built here as well."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    made = built()
    for client in made:
        client.meta.events.emit("before-send.any.Thing", request=None)
        client.meta.events.emit("response-received.any.Thing")
    assert len(made) >= 6
    assert passed == ["before-send.any.Thing", "response-received.any.Thing"] * len(made)


def test_a_step_that_nobody_watches_costs_about_as_much_as_a_call_of_nothing() -> None:
    """A request passes some twenty of them."""

    def nothing(_name: str) -> None:
        return

    def cost(call: Any) -> float:
        return min(timeit.repeat(lambda: call("name"), number=20_000, repeat=7)) / 20_000

    step, call = cost(crash_points.crash_point), cost(nothing)
    record("step_unarmed", microseconds=round(step * 1e6, 3), call_of_nothing=round(call * 1e6, 3))
    assert step <= 3 * call


def seen(*events: str) -> list[Event]:
    return [(f"{n:02}", "lane", what) for n, what in enumerate(events)]


WHOLE = ("step before-send.sqs.Send", "wire http", "wire http", "step response-received.sqs.Send")


def test_what_leaves_between_its_steps_is_covered() -> None:
    """In one part or in several."""
    assert list_uncovered(seen(*WHOLE, "step api.ran", *WHOLE)) == []


@pytest.mark.parametrize(
    "events",
    [
        ("wire http",),
        WHOLE[:-1],
        WHOLE[1:],
        (*WHOLE, "wire http", "step response-received.sqs.Send"),
        ("step database.queued", "wire flight", "step api.ran"),
        ("step database.connecting", "wire connect", "step database.queued", "wire flight", "step database.committed"),
    ],
)
def test_what_leaves_without_a_step_before_or_after_it_is_noticed(events: tuple[str, ...]) -> None:
    """So a new way out of the process fails the tests that kill, until it has its steps."""
    assert len(list_uncovered(seen(*events))) == 1
