"""Alarms on AWS's own metrics, rung by real trouble on a local cloud: each where declared, and no other.

Seconds stand for the alarms' minutes: this test takes the figures of logs and queues every few seconds, where the local
cloud itself does so once a minute.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import boto3
import httpx
import pytest

from local.alarms import EXTRA_PERIODS, judge, rule_of
from local.deploy import STACK_NAME
from local.emulator import REGION
from local.events.service_metrics import ServiceMetricsPublisher
from local.stack import Stack
from tests.alarms.deployed_alarms import DeployedAlarms
from tests.e2e.cloud import RunningCloud, run_cloud
from tests.e2e.cloud_users import add_key
from tests.sample_people import make_person
from tests.soak.faults import list_environments

PERIOD_S = 3  # in the place of a minute
MOST_PERIODS = 5 + EXTRA_PERIODS  # that an alarm on these metrics looks at
KILL_S = 2.0  # a call may be over before it is seen
NAMESPACES = ("AWS/Lambda", "AWS/ApiGateway", "AWS/SQS")


@dataclass(frozen=True)
class WatchedServices:
    """A cloud, its alarms on AWS's own metrics, and what writes these metrics faster."""

    cloud: RunningCloud
    alarms: DeployedAlarms
    publisher: ServiceMetricsPublisher

    def act_for(self, periods: int, act: Callable[[], object]) -> tuple[float, float]:
        """Repeat an act for so many periods, and take the figures of each; return when that began and ended."""
        began = (time.time() // PERIOD_S + 1) * PERIOD_S
        time.sleep(max(0.0, began - time.time()))
        self.publisher.read_logs()
        self.publisher.publish(began - PERIOD_S)  # what was before is not this trouble's
        for period in range(1, periods + 1):
            while time.time() < began + period * PERIOD_S - 1:
                act()
                time.sleep(0.2)
            self.publisher.read_logs()
            self.publisher.publish(began + period * PERIOD_S - 0.5)
        return began, began + periods * PERIOD_S

    def list_ringing(self, began: float, ended: float) -> set[str]:
        """Return which alarms on AWS's own metrics ring after what happened between two times."""
        return {name for name in self.alarms.alarms if self._is_ringing(name, began, ended)}

    def _is_ringing(self, name: str, began: float, ended: float) -> bool:
        alarm = self.alarms.alarms[name]
        if alarm["Namespace"] not in NAMESPACES:
            return False
        values = self.alarms.read_values(name, since=began, period_s=PERIOD_S)
        rule = replace(rule_of(alarm), period_s=PERIOD_S, statistic="Maximum")
        return judge(rule, values, now=ended, state="OK") == "ALARM"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedServices]:
    """A cloud of this module's own."""
    with run_cloud(tmp_path_factory.mktemp("services")) as cloud:
        alarms = DeployedAlarms(cloud)
        stack = Stack.load(cloud.folder / "stack.json")
        publisher = ServiceMetricsPublisher(
            stack, STACK_NAME, cloud.origin, cloud.folder / "logs", alarms.cloudwatch, threading.Event()
        )
        yield WatchedServices(cloud, alarms, publisher)


def visit(cloud: RunningCloud) -> httpx.Response:
    """Read the API's description, as anybody may."""
    return cloud.make_client().get("/openapi.json")


def register(cloud: RunningCloud) -> httpx.Response:
    """Register a person."""
    return cloud.make_client().post("/members", json=make_person(), headers=add_key())


def kill_environments(cloud: RunningCloud, function: str) -> None:
    """Kill a function's environments, until one of them was at work."""
    until = time.monotonic() + KILL_S
    while time.monotonic() < until:
        for environment in list_environments(cloud)[function]:
            if environment["state"] == "busy":
                os.kill(environment["pid"], signal.SIGKILL)
                return
        time.sleep(0.001)


def test_ordinary_calls_ring_nothing(services: WatchedServices) -> None:
    """With values in every period that an alarm looks at."""
    began, ended = services.act_for(MOST_PERIODS, lambda: visit(services.cloud).raise_for_status())
    assert services.list_ringing(began, ended) == set()
    assert len(services.alarms.read_values("ServerErrorsAlarm", since=began, period_s=PERIOD_S)) >= MOST_PERIODS - 1


def test_a_function_that_dies_rings_by_its_errors_and_by_what_clients_see(services: WatchedServices) -> None:
    """The function's alarm and that of the API; when it lives again, neither."""
    cloud = services.cloud

    def kill_and_call() -> None:
        answers: list[httpx.Response] = []
        call = threading.Thread(target=lambda: answers.append(register(cloud)))
        call.start()
        kill_environments(cloud, "MembersFunction")
        call.join()

    began, ended = services.act_for(MOST_PERIODS, kill_and_call)
    ringing = services.list_ringing(began, ended)
    assert {"MembersErrorsAlarm", "ServerErrorsAlarm"} <= ringing
    assert ringing <= {"MembersErrorsAlarm", "ServerErrorsAlarm", "LatencyAlarm"}, "slow answers may come with it"
    began, ended = services.act_for(MOST_PERIODS, lambda: visit(cloud))
    assert services.list_ringing(began, ended) == set()


def test_a_dead_letter_rings_until_somebody_takes_it(services: WatchedServices) -> None:
    """By the alarm of its queue."""
    stack = Stack.load(services.cloud.folder / "stack.json")
    queue = stack.outputs["DeadLetterLow"]
    sqs = boto3.client(
        "sqs",
        endpoint_url=stack.endpoint_url,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    sqs.send_message(QueueUrl=queue, MessageBody="{}")
    began, ended = services.act_for(EXTRA_PERIODS + 2, lambda: None)
    assert services.list_ringing(began, ended) == {"DeadLetterLowAlarm"}
    sqs.purge_queue(QueueUrl=queue)
    began, ended = services.act_for(EXTRA_PERIODS + 2, lambda: None)
    assert services.list_ringing(began, ended) == set()
