"""The alarms of a release, rung by a broken version of each function: its own alarm, and no other function's.

The version gets all calls for a moment, so that a single one is enough. Under the load of people it gets a tenth of
them, and is rolled back: tests/e2e/test_rollback.py.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.deploy import STACK_NAME
from local.release.alarms import ReleaseAlarms
from local.release.command import find_code
from local.release.gateway_client import GatewayClient
from local.release.metrics import LogMetrics
from local.stack import Stack
from local.state_folder import StateFolder, build_front_url
from tests.alarms.declared_troubles import TROUBLES
from tests.alarms.troubles import EVENTS, crash_invocation, invoke_function, read_event
from tests.alarms.watched_cloud import WatchedCloud
from tests.e2e.cloud import ROOT
from tests.rollback.broken_releases import make_release
from tests.settings.alarms import RELEASED

MINUTE_S = 1.0  # of these alarms
RINGS_FOR_S = 4.0  # after a value, until an alarm on one minute has nothing else to look at
LOGGED_S = 0.2
END_MINUTES = 8  # of the cloud: then its alarms on errors have ended, before the next test makes other trouble
PACKAGES = {**{name: name.lower() for name in RELEASED}, "Jobs": "jobs_api"}
CALLS = {
    "Agents": "agents/get_agents.json",
    "Members": "members/get_members.json",
    "Claims": "claims/get_claims.json",
    "Health": "health/get_health.json",
    "Pages": "pages/get_openapi_json.json",
    "Jobs": "jobs_api/get_jobs.json",
    "Worker": "worker/queue_low.json",
}


@dataclass(frozen=True)
class BrokenVersions:
    """A broken version of every function that is released, and the alarms that would watch its release."""

    cloud: WatchedCloud
    gateway: GatewayClient
    before: dict[str, str]
    new: dict[str, str]
    alarms: ReleaseAlarms

    def call(self, function: str) -> None:
        """Call a function with its broken version live, and wait until the minute of that is over."""
        self.gateway.shift(function, {self.new[function]: 1.0})
        try:
            event = (EVENTS / CALLS[function.removesuffix("Function")]).read_bytes()
            invoke_function(self.cloud.cloud, function, event)
        finally:
            self.gateway.shift(function, {self.before[function]: 1.0})
        self.wait_for_next_minute()

    def wait_for_next_minute(self) -> None:
        """Wait until the minute is over and all of it is logged."""
        ends = (math.floor(time.time() / MINUTE_S) + 1) * MINUTE_S
        time.sleep(ends - time.time() + LOGGED_S)


def publish_versions(alarm_cloud: WatchedCloud, folder: Path, broken: str) -> BrokenVersions:
    """Publish a version of each function, broken in a way; no call reaches it."""
    state_folder = StateFolder(ROOT, alarm_cloud.cloud.folder)
    stack = Stack.load(state_folder.stack)
    gateway = GatewayClient(build_front_url(state_folder.read_state()))
    code = find_code(stack, ROOT, make_release(folder, tuple(PACKAGES.values()), broken))
    assert set(code) == {f"{name}Function" for name in RELEASED}
    before = gateway.read_live_versions()
    new = {
        name: gateway.publish(name, code_dir=each.code_dir, layer_dirs=each.layer_dirs) for name, each in code.items()
    }
    functions = [function.logical_id for function in stack.functions]
    metrics = LogMetrics(state_folder.logs, functions, {"ApiName": STACK_NAME, "Stage": stack.stage})
    alarms = ReleaseAlarms(stack, stack.deployment_groups, new, metrics, minute_s=MINUTE_S)
    return BrokenVersions(alarm_cloud, gateway, before, new, alarms)


@contextmanager
def end_troubles(alarm_cloud: WatchedCloud) -> Iterator[None]:
    """After the block, wait until the alarms on functions' errors are over."""
    yield
    alarm_cloud.watch(END_MINUTES)


@pytest.fixture(scope="module")
def ended_cloud(alarm_cloud: WatchedCloud) -> Iterator[WatchedCloud]:
    """Yield the cloud of the tests of alarms, in which nothing rings afterwards."""
    with end_troubles(alarm_cloud):
        yield alarm_cloud


def describe_trouble(function: str, broken: str) -> str:
    """Return the name of the trouble that a version makes."""
    if broken == "raises":
        return f"a new version of {function} raises"
    if function == "WorkerFunction":
        return "a new version of WorkerFunction can't do a job"
    return f"a new version of {function} answers with 5xx"


@pytest.mark.alarms
@pytest.mark.parametrize("broken", ["answers with 5xx", "raises"])
def test_a_broken_version_of_each_function_rings_its_own_alarm(
    ended_cloud: WatchedCloud, tmp_path: Path, broken: str
) -> None:
    """One call after another, and after each of them one alarm more; all of them end."""
    versions = publish_versions(ended_cloud, tmp_path, broken)
    for name in RELEASED:
        function = f"{name}Function"
        before = set(versions.alarms.list_ringing())
        versions.call(function)
        ringing = set(versions.alarms.list_ringing())
        assert ringing - before == TROUBLES[describe_trouble(function, broken)].rings
    time.sleep(RINGS_FOR_S)
    assert versions.alarms.list_ringing() == []


@pytest.mark.alarms
def test_a_failure_of_the_version_before_rings_no_alarm_of_a_release(ended_cloud: WatchedCloud, tmp_path: Path) -> None:
    """A call of the new version by its number rings none either: the check of a release makes such calls."""
    versions = publish_versions(ended_cloud, tmp_path, "raises")
    crash_invocation(ended_cloud.cloud, "MembersFunction")
    by_number = f"MembersFunction:{versions.new['MembersFunction']}"
    failed = invoke_function(ended_cloud.cloud, by_number, read_event("MembersFunction"))
    assert failed.headers["X-Amz-Function-Error"] == "Unhandled"
    versions.wait_for_next_minute()
    assert versions.alarms.list_ringing() == []
