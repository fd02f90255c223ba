"""The calls of all hooks of a release are within the limits that are deployed, even if they are repeated."""

import io
import json
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from random import Random
from typing import Any
from uuid import UUID

import pytest

import agents.app
import claims.app
import health.app
import jobs_api.app
import members.app
import pages.app
from health.container import HealthContainer
from local.events.embedded_metrics import read_metrics
from pretraffic.checks import ADDRESSES, SyntheticCaller, build_checks, draw_caller
from pretraffic.versions import ATTEMPTS, VersionChecker
from shared.api.client_address import normalise_address
from shared.api.router import Api
from shared.errors import Refusal, Unavailable
from shared.settings import Settings
from tests.api_client import CLIENT_ID, LambdaContext, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock
from tests.fakes.database import ScriptedDatabase
from tests.settings.alarms import RELEASED
from tests.settings.deployed import load_template
from tests.unit.health.reports import ScriptedDependencies

HOOKS = len(RELEASED)  # the deployment of each function runs the hook
APIS: Mapping[str, Api[Any]] = {
    "agents": agents.app.api,
    "members": members.app.api,
    "claims": claims.app.api,
    "health": health.app.api,
    "pages": pages.app.api,
    "jobs": jobs_api.app.api,
}


def forbid() -> None:
    """Answer as the database does to an identity that does not exist."""
    raise Refusal("forbidden")


class NewVersions:
    """The functions with the limits that are deployed, at one instant, as the client `lambda` invokes them.

    `answer` is the database's to a read.
    """

    def __init__(self, answer: Callable[[], object] = forbid) -> None:
        limits = load_template()["Parameters"]["Limits"]["Default"]
        settings = Settings.from_environ({"LIMITS": limits, "USER_POOL_CLIENT_ID": CLIENT_ID})
        store = InMemoryAdmissionStore(ManualClock())
        dependencies = ScriptedDependencies()
        checked = HealthContainer(settings, dependencies.clock)
        checked.__dict__ |= {"check": dependencies.check, "admission_store": store}
        others = make_container(settings, database=ScriptedDatabase(answer), admission_store=store)
        self._containers = {**dict.fromkeys(APIS, others), "health": checked}
        self.statuses: list[int] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 - AWS's names
        answer: dict[str, Any] = {"batchItemFailures": []}
        if FunctionName in APIS:
            event = json.loads(Payload)
            answer = APIS[FunctionName].handle(event, LambdaContext(), self._containers[FunctionName])
            self.statuses.append(answer["statusCode"])
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


class LateVersions:
    """New versions whose answers are lost at the first attempts of a run of the hook."""

    def __init__(self, versions: NewVersions) -> None:
        self._versions = versions
        self._calls: dict[str, int] = {}

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 - AWS's names
        answer = self._versions.invoke(FunctionName=FunctionName, Payload=Payload)
        self._calls[FunctionName] = self._calls.get(FunctionName, 0) + 1
        return answer if self._calls[FunctionName] == ATTEMPTS else {"Payload": io.BytesIO(b"lost")}


def run_hooks(versions: NewVersions, draw: Callable[[], SyntheticCaller]) -> list[bool]:
    """Return whether each hook of a release passes, each with a caller of its own draw and all its attempts."""
    results = []
    for _ in range(HOOKS):
        checker = VersionChecker(LateVersions(versions), Random(1), lambda _seconds: None, lambda: 240.0)
        checks = build_checks(CLIENT_ID, draw())
        results.append(checker.check_release({name: name for name in checks}, checks))
    return results


@pytest.mark.parametrize("seed", range(5))
def test_seven_hooks_at_once_with_all_their_repeats_meet_no_limit(seed: int) -> None:
    """Each function's deployment checks the whole release, after a first try that failed too."""
    versions, random = NewVersions(), Random(seed)
    assert run_hooks(versions, lambda: draw_caller(random)) == [True] * HOOKS
    assert len(versions.statuses) == HOOKS * len(APIS) * ATTEMPTS
    assert set(versions.statuses) == {200, 403}


def test_one_caller_for_all_hooks_would_meet_the_limits() -> None:
    """This shows that the test above could fail."""
    versions, caller = NewVersions(), draw_caller(Random(1))
    assert not all(run_hooks(versions, lambda: caller))
    assert 429 in versions.statuses


def read_printed_metrics(output: str) -> set[str]:
    """Return the names of the metrics that functions have printed."""
    return {each.name for each in read_metrics(output.encode())}


def test_a_hook_leaves_no_metric_and_nothing_of_its_caller(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Its health check writes no figure of the system. The database has refused the reads."""
    caller = draw_caller(Random(1))
    checks = build_checks(CLIENT_ID, caller)
    checker = VersionChecker(NewVersions(), Random(1), lambda _seconds: None, lambda: 240.0)
    assert checker.check_release({name: name for name in checks}, checks)
    assert read_printed_metrics(capsys.readouterr().out) == set()
    logged = [str(vars(record)) for record in caplog.records]
    assert sum("'pre-traffic'" in line for line in logged) == len(APIS)
    assert [line for line in logged if caller.sub in line or caller.source_ip in line] == []


def test_a_5xx_that_the_hook_gets_is_a_failure_of_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """So the release's alarm rings, even if a later attempt passes: docs/decisions/0054 says so."""

    def lose() -> None:
        raise Unavailable("database")

    checks = {"members": build_checks(CLIENT_ID, draw_caller(Random(1)))["members"]}
    checker = VersionChecker(NewVersions(lose), Random(1), lambda _seconds: None, lambda: 240.0)
    assert not checker.check_release({"members": "members"}, checks)
    assert read_printed_metrics(capsys.readouterr().out) == {"VersionFailures"}


def test_callers_are_nobodys_and_differ() -> None:
    """A documentation address, each in another network of those that limits count; an identity as Cognito makes it."""
    random = Random(1)
    callers = [draw_caller(random) for _ in range(1000)]
    assert all(ip_address(caller.source_ip) in ADDRESSES for caller in callers)
    assert all(UUID(caller.sub).version == 4 for caller in callers)
    assert len({normalise_address(caller.source_ip) for caller in callers}) == len(callers)
    assert len({caller.sub for caller in callers}) == len(callers)
