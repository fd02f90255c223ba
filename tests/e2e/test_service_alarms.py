"""Alarms on what clients see, rung by real trouble on a local cloud: each as declared, and no other."""

import itertools
import threading

import httpx
import pytest

from tests.alarms.declared_troubles import TROUBLES
from tests.alarms.stack_queues import purge_queue, send_message
from tests.alarms.troubles import StalledFunction, crash_invocation
from tests.alarms.watched_cloud import WatchedCloud
from tests.e2e.cloud import RunningCloud
from tests.e2e.cloud_users import CloudUsers, add_key
from tests.sample_people import make_person

MOST_MINUTES = 17  # that an alarm on minutes looks at
SLOW_S = 5.5  # longer than answers may take, shorter than functions may
CALLERS = 8
PAUSE_S = 0.5  # between two calls of a caller: an environment is seen at rest, and stopped before its next one


def visit(cloud: RunningCloud) -> httpx.Response:
    """Read the API's description, as anybody may."""
    return cloud.make_client().get("/openapi.json")


def register(cloud: RunningCloud) -> httpx.Response:
    """Register a person."""
    return cloud.make_client().post("/members", json=make_person(), headers=add_key())


def test_ordinary_calls_ring_nothing(alarm_cloud: WatchedCloud) -> None:
    """The alarms have values in every minute that they look at."""
    began = alarm_cloud.align()
    ended = alarm_cloud.watch(MOST_MINUTES, lambda: visit(alarm_cloud.cloud).raise_for_status())
    assert alarm_cloud.judge_alarms(began=began, ended=ended) == (set(), set())
    minutes = alarm_cloud.alarms.read_values("ServerErrorsAlarm", since=began, period_s=3)
    assert len(minutes) >= MOST_MINUTES - 2


def test_a_function_that_dies_rings_by_its_errors_and_by_what_clients_see(alarm_cloud: WatchedCloud) -> None:
    """The function's alarm and that of the API; when it lives again, neither."""
    cloud = alarm_cloud.cloud

    began = alarm_cloud.align()
    alarm_cloud.watch(8, lambda: crash_invocation(cloud, "MembersFunction", lambda: register(cloud)))
    alarm_cloud.check_trouble("a called function dies", began=began)


@pytest.mark.long
def test_answers_that_are_slow_ring(alarm_cloud: WatchedCloud) -> None:
    """They take five seconds and come, so nothing else rings."""
    _, member = CloudUsers(alarm_cloud.cloud).make_member()
    over = threading.Event()
    answers: list[int] = []

    def read_claims() -> None:
        while not over.wait(PAUSE_S):
            answers.append(member.get("/claims").status_code)

    began = alarm_cloud.align()
    callers = [threading.Thread(target=read_claims) for _ in range(CALLERS)]
    with StalledFunction(alarm_cloud.cloud, "ClaimsFunction", SLOW_S):
        for caller, start in zip(callers, itertools.repeat(0.7), strict=False):
            caller.start()
            over.wait(start)
        alarm_cloud.watch(9)
        over.set()
        for caller in callers:
            caller.join()
    alarm_cloud.check_trouble("answers are slow", began=began)
    assert set(answers) == {200}


def test_a_dead_letter_rings_until_somebody_takes_it(alarm_cloud: WatchedCloud) -> None:
    """The alarm of its queue rings."""
    assert TROUBLES["a dead letter stays"].rings == {"DeadLetterLowAlarm"}
    began = alarm_cloud.align()
    send_message(alarm_cloud.cloud, "DeadLetterLow")
    alarm_cloud.watch(3)
    purge_queue(alarm_cloud.cloud, "DeadLetterLow")
    alarm_cloud.check_trouble("a dead letter stays", began=began)
