"""Alarms of each function that ring when it crashes, is throttled, full or slow, one function after another.

The other functions work meanwhile, so that an alarm on another function than its name says would ring or be missed.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.alarms.declared_troubles import TROUBLES
from tests.alarms.troubles import (
    HARMLESS,
    StalledFunction,
    crash_invocation,
    fill_function,
    invoke_function,
    reserve_concurrency,
)
from tests.alarms.watched_cloud import MINUTE_S, WatchedCloud
from tests.settings.alarms import BUSY

UNKNOWN_RUN = b'{"DeploymentId": "d-UNKNOWN", "LifecycleEventHookExecutionId": "unknown"}'
PAUSE_S = 0.5  # between two calls of a caller: an environment is seen at rest, and stopped before its next one


def test_a_function_that_is_throttled_rings_and_no_other_does(alarm_cloud: WatchedCloud) -> None:
    """The function that answers pages, with no concurrency left; other functions are called as before."""
    check_throttles(alarm_cloud, "PagesFunction", "PagesFunction is throttled")


@pytest.mark.long
@pytest.mark.parametrize("function", [name for name in HARMLESS if name not in ("PagesFunction", "RelayFunction")])
def test_each_function_that_is_throttled_rings_by_its_own_alarm(alarm_cloud: WatchedCloud, function: str) -> None:
    """Without the health function there is no report either."""
    check_throttles(alarm_cloud, function, f"{function} is throttled")


def check_throttles(alarm_cloud: WatchedCloud, function: str, trouble: str) -> None:
    """Refuse a function's invocations for a while, and check which alarms rang."""
    began = alarm_cloud.align()
    with reserve_concurrency(alarm_cloud.cloud, function, 0):
        alarm_cloud.watch(4, lambda: call_each(alarm_cloud, function), pause_s=1)
    alarm_cloud.check_trouble(trouble, began=began)


def call_each(alarm_cloud: WatchedCloud, function: str) -> None:
    """Invoke a function, and another one beside it."""
    assert invoke_function(alarm_cloud.cloud, function).status_code == 429
    other = "MembersFunction" if function != "MembersFunction" else "AgentsFunction"
    assert invoke_function(alarm_cloud.cloud, other).status_code == 200


def test_a_function_that_uses_most_of_its_concurrency_rings_and_no_other_does(alarm_cloud: WatchedCloud) -> None:
    """Its invocations count while they run, though none of them ends before the alarm rings."""
    check_concurrency(alarm_cloud, "PagesFunction")


@pytest.mark.long
@pytest.mark.parametrize("function", [f"{name}Function" for name in BUSY if name not in ("Pages", "Health")])
def test_each_function_that_uses_most_of_its_concurrency_rings_by_its_own_alarm(
    alarm_cloud: WatchedCloud, function: str
) -> None:
    """Four fifths of what is reserved for it, in three minutes."""
    check_concurrency(alarm_cloud, function)


@pytest.mark.long
def test_a_health_function_that_is_full_rings_by_its_silence_as_well(alarm_cloud: WatchedCloud) -> None:
    """Its report waits like all other calls."""
    check_concurrency(alarm_cloud, "HealthFunction", minutes=6)


@pytest.mark.long
def test_a_function_that_uses_somewhat_less_rings_nothing(alarm_cloud: WatchedCloud) -> None:
    """One invocation fewer than the alarm allows."""
    began = alarm_cloud.align()
    with fill_function(alarm_cloud.cloud, "PagesFunction", BUSY["Pages"] - 1):
        ended = alarm_cloud.watch(4)
    assert alarm_cloud.judge_alarms(began=began, ended=ended) == (set(), set())


def check_concurrency(alarm_cloud: WatchedCloud, function: str, minutes: int = 4) -> None:
    """Keep as many invocations of a function under way as its alarm allows, and check which alarms rang."""
    began = alarm_cloud.align()
    with fill_function(alarm_cloud.cloud, function, BUSY[function.removesuffix("Function")]):
        alarm_cloud.watch(minutes)
    alarm_cloud.check_trouble(f"{function} is full", began=began)


@pytest.mark.long
def test_the_hook_of_a_release_that_cannot_report_rings_what_ends_the_release(alarm_cloud: WatchedCloud) -> None:
    """CodeDeploy knows no such run, so the function raises; nothing that tells people rings."""
    trouble, alarm = "the hook of a release can't report", "PreTrafficErrorsAlarm"
    began = alarm_cloud.align()
    failed = invoke_function(alarm_cloud.cloud, "PreTrafficFunction", UNKNOWN_RUN)
    assert failed.headers["X-Amz-Function-Error"] == "Unhandled"
    ended = alarm_cloud.watch(7)
    states = alarm_cloud.list_states(alarm, began=began, ended=ended)
    assert ("ALARM" in states, states[-1]) == (True, "OK")
    assert TROUBLES[trouble].rings == {alarm}
    assert alarm_cloud.judge_alarms(began=began, ended=ended) == (set(), set())


@pytest.mark.long
@pytest.mark.parametrize("function", HARMLESS)
def test_each_function_that_crashes_rings_by_its_own_alarm(alarm_cloud: WatchedCloud, function: str) -> None:
    """Its environment dies in each of its invocations; the relay's alarm takes five in each of ten minutes.

    That of the health function takes one in five of six minutes.
    """
    is_relay = function == "RelayFunction"
    minutes = {"RelayFunction": 5, "HealthFunction": 8}.get(function, 3)
    began = alarm_cloud.align(3600 if function == "HousekeepingFunction" else 300)
    alarm_cloud.watch(minutes, lambda: crash_often(alarm_cloud, function, 3 if is_relay else 1))
    alarm_cloud.check_trouble(f"{function} crashes", began=began)


def crash_often(alarm_cloud: WatchedCloud, function: str, times: int) -> None:
    """Crash some invocations of a function, one after another."""
    for _ in range(times):
        crash_invocation(alarm_cloud.cloud, function)


@dataclass(frozen=True, slots=True)
class Slowness:
    """The time that a function's invocations take, of which `callers` are under way; and what stands for a minute."""

    seconds: float
    callers: int
    minute_s: int = MINUTE_S


# Somewhat longer than its alarm allows. In each minute some invocation has to end.
SLOW = {
    **dict.fromkeys(
        ("AgentsFunction", "MembersFunction", "ClaimsFunction", "JobsFunction"), Slowness(11, 8, minute_s=6)
    ),
    "PagesFunction": Slowness(5.6, 5),
    "HealthFunction": Slowness(5.6, 5, minute_s=9),  # the report is as slow
    "RelayFunction": Slowness(21, 2, minute_s=15),
    "WorkerFunction": Slowness(46, 16, minute_s=6),
}
HOUSEKEEPING_S = 241.0


@pytest.mark.long
@pytest.mark.parametrize("function", SLOW)
def test_each_function_that_is_slow_rings_by_its_own_alarm(alarm_cloud: WatchedCloud, function: str) -> None:
    """Its environments stand still in each invocation."""
    slow = SLOW[function]
    scaled = alarm_cloud.scale(slow.minute_s)
    with (
        StalledFunction(alarm_cloud.cloud, function, slow.seconds),
        call_often(alarm_cloud, function, slow.callers, apart_s=slow.seconds / slow.callers),
    ):
        time.sleep(slow.seconds)  # until the first has ended
        began = scaled.align()
        scaled.watch(7)
    scaled.check_trouble(f"{function} is slow", began=began, end_minutes=int(slow.seconds / slow.minute_s) + 8)


@pytest.mark.long
def test_housekeeping_that_is_slow_rings(alarm_cloud: WatchedCloud) -> None:
    """Four minutes of a single invocation, a minute before Lambda would stop it."""
    function = "HousekeepingFunction"
    invoke_function(alarm_cloud.cloud, function)
    began = alarm_cloud.align(3600)
    with StalledFunction(alarm_cloud.cloud, function, HOUSEKEEPING_S):
        alarm_cloud.watch(1)  # until its environment stands still
        assert invoke_function(alarm_cloud.cloud, function).status_code == 200
        alarm_cloud.watch(10)
    alarm_cloud.check_trouble(f"{function} is slow", began=began)


@contextmanager
def call_often(
    alarm_cloud: WatchedCloud, function: str, callers: int, *, apart_s: float = 0.0, pause_s: float = PAUSE_S
) -> Iterator[None]:
    """Invoke a function from some callers, each again and again, within the block; they begin one after another."""
    over = threading.Event()

    def call(begins_s: float) -> None:
        over.wait(begins_s)
        while not over.wait(PAUSE_S):
            invoke_function(alarm_cloud.cloud, function)

    with ThreadPoolExecutor(callers) as threads:
        working = [threads.submit(call, number * apart_s) for number in range(callers)]
        try:
            yield
        finally:
            over.set()
        for each in working:
            each.result()
