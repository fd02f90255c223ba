"""The health function's answers, to callers and to the schedule, and the metrics it leaves."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from health import app
from health.app import api, handler
from health.container import HealthContainer
from health.model import HealthReport
from pages import app as pages
from shared.api.router import Api
from shared.settings import Settings
from tests.api_client import ApiClient, LambdaContext
from tests.fakes.admission import InMemoryAdmissionStore
from tests.unit.health.reports import WRITER, ScriptedDependencies

BROKEN = RuntimeError("connection to db.internal.example.test refused for interdomestik_app")
SCHEDULED = {"source": "interdomestik.schedule"}


@pytest.fixture
def dependencies() -> ScriptedDependencies:
    return ScriptedDependencies()


@pytest.fixture
def container(dependencies: ScriptedDependencies) -> HealthContainer:
    own = HealthContainer(Settings(service_version="v1"), dependencies.clock)
    own.__dict__ |= {"check": dependencies.check, "admission_store": InMemoryAdmissionStore(dependencies.clock)}
    return own


@pytest.fixture
def client(container: HealthContainer) -> ApiClient:
    return ApiClient(api, container)


def test_a_release_is_shown_after_the_version(dependencies: ScriptedDependencies) -> None:
    """The check after a deployment looks for it; without a release the version stands alone."""
    own = HealthContainer(Settings(service_version="v1", release="0123456789ab"), dependencies.clock)
    own.__dict__ |= {"check": dependencies.check, "admission_store": InMemoryAdmissionStore(dependencies.clock)}
    assert ApiClient(api, own).call("GET", "/health").json["version"] == "v1+0123456789ab"


def read_metrics(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the EMF documents printed since the last look."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return [line for line in lines if "_aws" in line]


def test_shallow_health_touches_nothing(client: ApiClient, dependencies: ScriptedDependencies) -> None:
    """It asks neither the store of limits nor any dependency, however often it is called."""
    client.container.__dict__["admission_store"] = None
    replies = [client.call("GET", "/health") for _ in range(100)]
    assert {(r.status, r.body) for r in replies} == {
        (200, '{"status":"healthy","version":"v1","time":"2026-11-02T09:30:00Z"}')
    }
    assert dependencies.asked == 0


@pytest.mark.parametrize(
    ("pages_of", "path"),
    [(api, "/health"), (api, "/health/deep"), (pages.api, "/openapi.json"), (pages.api, "/docs")],
)
def test_what_has_no_filter_ignores_any_parameter(container: HealthContainer, pages_of: Api[Any], path: str) -> None:
    """Monitors and proxies add parameters against caches, once or twice."""
    client = ApiClient(pages_of, container)
    for query in ({"ts": "1"}, {"_": ["1", "2"]}, {"limit": "x"}):
        assert client.call("GET", path, query=query).status == 200
        assert client.call("HEAD", path, query=query).status == 200


def test_deep_health_is_200_and_fits_its_description(client: ApiClient) -> None:
    """The answer has exactly the fields of the API's description."""
    reply = client.call("GET", "/health/deep")
    assert (reply.status, reply.headers["Content-Type"], reply.json["status"]) == (200, "application/json", "healthy")
    assert HealthReport.model_validate(reply.json, extra="forbid").model_dump(mode="json") == reply.json


def test_an_unhealthy_report_is_503_and_a_report(client: ApiClient, dependencies: ScriptedDependencies) -> None:
    """It is no problem: monitors read the same fields. It does not name the error, the host or the role."""
    dependencies.found["database"] = BROKEN
    reply = client.call("GET", "/health/deep")
    assert (reply.status, reply.headers["Content-Type"]) == (503, "application/json")
    assert (reply.json["status"], reply.json["checks"]["database"]["status"]) == ("unhealthy", "unhealthy")
    assert not any(word in reply.body for word in ("example", "refused", "interdomestik", "Error"))


def test_degraded_is_200(client: ApiClient, dependencies: ScriptedDependencies) -> None:
    """It still takes work."""
    dependencies.found["email"] = BROKEN
    reply = client.call("GET", "/health/deep")
    assert (reply.status, reply.json["status"]) == (200, "degraded")


def test_deep_health_is_limited_by_address_and_the_schedule_is_not(
    client: ApiClient, container: HealthContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 a minute; the eleventh is answered with Retry-After."""
    statuses = [client.call("GET", "/health/deep").status for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert client.call("GET", "/health/deep").headers["Retry-After"] == "6"
    client.source_ip = "127.0.0.10"
    assert client.call("GET", "/health/deep").status == 200
    monkeypatch.setattr(app, "get_container", lambda: container)
    assert {handler(SCHEDULED, LambdaContext())["status"] for _ in range(20)} == {"healthy"}


def test_the_schedule_gets_the_report_itself(container: HealthContainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request, no status: a plain object that goes through JSON."""
    monkeypatch.setattr(app, "get_container", lambda: container)
    report = handler(SCHEDULED, LambdaContext())
    assert HealthReport.model_validate(json.loads(json.dumps(report))).status == "healthy"


def test_the_first_invocation_of_a_process_is_its_cold_start(
    container: HealthContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds if the report itself was kept from an earlier call, too."""
    monkeypatch.setattr(app, "get_container", lambda: container)
    runtimes = [handler(SCHEDULED, LambdaContext())["runtime"] for _ in range(2)]
    assert [runtime["cold_start"] for runtime in runtimes] == [True, False]
    assert runtimes[0]["memory_mb"] > 10
    assert runtimes[1]["cpu_s"] >= runtimes[0]["cpu_s"] > 0
    assert runtimes[1]["uptime_s"] >= runtimes[0]["uptime_s"] >= 0


@pytest.fixture
def run_schedule(container: HealthContainer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """Return a function that invokes the handler as the schedule does."""
    monkeypatch.setenv("STACK_NAME", "interdomestik-test")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "7")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "health")
    monkeypatch.setattr(app, "get_container", lambda: container)
    return lambda: handler(SCHEDULED, LambdaContext())


def test_each_run_of_the_schedule_leaves_its_metrics_where_the_alarms_look(
    run_schedule: Callable[[], dict[str, Any]], dependencies: ScriptedDependencies, capsys: pytest.CaptureFixture[str]
) -> None:
    """Namespace, dimensions and names are those of the template; one document for each invocation."""
    dependencies.found["database"] = replace(WRITER, server="b2")
    run_schedule()
    run_schedule()
    first, kept = read_metrics(capsys)
    described = first["_aws"]["CloudWatchMetrics"][0]
    assert (described["Namespace"], described["Dimensions"]) == ("Interdomestik", [["stack", "service"]])
    assert (first["stack"], first["service"]) == ("interdomestik-test", "health")
    figures = {metric["Name"]: first[metric["Name"]] for metric in described["Metrics"]}
    assert figures == {
        "Unhealthy": [0.0],
        "Degraded": [0.0],
        "FailoverDetected": [1.0],
        "JobsFailed": [1.0],
        "JobsUncertain": [0.0],
        "JobsHighUnsolved": [0.0],
        "JobsLate": [0.0],
        "JobsOldestPendingSeconds": [4.0],
        "JobsOldestPendingSecondsHigh": [1.5],
        "JobsOldestPendingSecondsNormal": [0.0],
        "JobsOldestPendingSecondsLow": [4.0],
        "TransactionRetriesLastMinute": [3.0],
        "CircuitOpenEmail": [0.0],
        "CircuitOpenIdentity": [0.0],
        "CircuitOpenStorage": [0.0],
        "DatabaseConnectionsUsedShare": [14.0],
    }
    assert kept["FailoverDetected"] == [0.0]


def test_what_is_not_known_is_no_metric(
    run_schedule: Callable[[], dict[str, Any]], dependencies: ScriptedDependencies, capsys: pytest.CaptureFixture[str]
) -> None:
    """Zero failed jobs would end an alarm that the outage has nothing to do with."""
    dependencies.found["database"] = BROKEN
    run_schedule()
    only, _failure = read_metrics(capsys)
    assert (only["Unhealthy"], only["Degraded"]) == ([1.0], [0.0])
    assert not {"JobsFailed", "JobsLate", "JobsOldestPendingSeconds", "DatabaseConnectionsUsedShare"} & set(only)


def test_a_request_leaves_no_metrics_of_its_report(client: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks, also the check of a release that asks a version without traffic, rings no alarm by asking."""
    assert client.call("GET", "/health/deep").status == 200
    assert read_metrics(capsys) == []


def test_a_failover_that_a_request_finds_is_counted_once(
    client: ApiClient, dependencies: ScriptedDependencies, capsys: pytest.CaptureFixture[str]
) -> None:
    """The schedule's next run would not see it: the first check of all has stored the new writer."""
    dependencies.found["database"] = replace(WRITER, server="b2")
    client.call("GET", "/health/deep")
    client.call("GET", "/health/deep")
    (only,) = read_metrics(capsys)
    described = only["_aws"]["CloudWatchMetrics"][0]
    assert {metric["Name"]: only[metric["Name"]] for metric in described["Metrics"]} == {"FailoverDetected": [1.0]}
    assert (described["Dimensions"], only["service"]) == ([["stack", "service"]], "health")


def test_an_unhealthy_report_counts_as_a_failure_of_its_version(
    client: ApiClient,
    run_schedule: Callable[[], dict[str, Any]],
    dependencies: ScriptedDependencies,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """To a request, which is answered 503, and to the schedule, which may be the only caller of a new version."""
    dependencies.found["email"] = BROKEN
    client.call("GET", "/health/deep")
    assert read_metrics(capsys) == [], "a degraded service still takes work"
    dependencies.clock.advance(60)
    dependencies.found["database"] = BROKEN
    client.call("GET", "/health/deep")
    (asked,) = read_metrics(capsys)
    run_schedule()
    _report, scheduled = read_metrics(capsys)
    for failure in (asked, scheduled):
        [dimensions] = failure["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
        assert (set(dimensions), failure["VersionFailures"]) == ({"stack", "service", "version"}, [1.0])
        assert (failure["service"], failure["version"]) == ("health", "7")


def test_shallow_health_leaves_no_metrics(client: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
    """It knows nothing."""
    client.call("GET", "/health")
    assert read_metrics(capsys) == []
