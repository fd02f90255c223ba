"""The parts of a local release: versions by weight, values read from logs, and what a configuration means."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from local.release.canary import NewCode, Release, ReleaseResult
from local.release.command import ReleaseFailed, extract_revision, find_code
from local.release.metrics import LogMetrics
from local.runtime.logs import FunctionLog
from local.runtime.variables import RuntimePlatform
from local.runtime.versions import FunctionVersions, UnknownVersion
from local.stack import DeployedFunction, DeploymentGroup
from local.state_folder import ROOT, StateFolder

FUNCTION = DeployedFunction("F", "app.handler", "/code", ["/layer"], {"A": "1"}, 3, 128, 2)
API = {"ApiName": "interdomestik", "Stage": "api"}


def make_versions(tmp_path: Path) -> FunctionVersions:
    """A function whose dice show 0.00, 0.01, … 0.99."""
    dice = itertools.cycle(n / 100 for n in range(100))
    platform = RuntimePlatform("python", "http://127.0.0.1:1", "eu-central-1")
    return FunctionVersions(FUNCTION, platform, FunctionLog(tmp_path / "F.log"), uniform=lambda: next(dice))


def test_an_alias_picks_versions_by_their_weights(tmp_path: Path) -> None:
    """A tenth of the calls for a weight of a tenth, and none for a version without one."""
    versions = make_versions(tmp_path)
    assert Counter(versions.pick_version() for _ in range(100)) == {"1": 100}
    new = versions.publish(code_dir="/new", layer_dirs=[], environment={"B": "2"})
    assert Counter(versions.pick_version() for _ in range(100)) == {"1": 100}
    versions.shift({new: 0.1, "1": 0.9})
    assert Counter(versions.pick_version() for _ in range(100)) == {new: 10, "1": 90}
    versions.shift({new: 1.0})
    assert Counter(versions.pick_version() for _ in range(100)) == {new: 100}


def test_weights_are_of_versions_that_exist_and_add_up(tmp_path: Path) -> None:
    """The alias stays where it is otherwise."""
    versions = make_versions(tmp_path)
    with pytest.raises(UnknownVersion):
        versions.shift({"2": 1.0})
    with pytest.raises(ValueError, match=r"add up to 0\.5"):
        versions.shift({"1": 0.5})
    assert versions.weights == {"1": 1.0}


def test_metrics_of_lambda_and_the_gateway_follow_from_the_logs(tmp_path: Path) -> None:
    """An error of one version is none of another, but one of the function; the API's share of errors is the average.

    The calls of a release's check, which name the version, are none of the alias.
    """
    metrics = LogMetrics(tmp_path, ["F"], API)
    log = FunctionLog(tmp_path / "F.log")
    calls = (("1", "success", "live"), ("2", "error", "live"), ("2", "success", "live"), ("2", "error", "2"))
    for version, status, qualifier in calls:
        log.record("report", status=status, durationMs=1.0, version=version, qualifier=qualifier)
    for status in ("200", "502"):
        line = {"time_ms": "1000", "status": status, "latency_ms": "12"}
        FunctionLog(tmp_path / "access.log").write(json.dumps(line).encode() + b"\n")
    metrics.read_new()

    def find(namespace: str, name: str, **dimensions: str) -> list[float]:
        listed = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        return [v for _, v in metrics.find_values({"Namespace": namespace, "MetricName": name, "Dimensions": listed})]

    live = {"FunctionName": "F", "Resource": "F:live"}
    assert find("AWS/Lambda", "Errors", **live, ExecutedVersion="1") == [0.0]
    assert find("AWS/Lambda", "Errors", **live, ExecutedVersion="2") == [1.0, 0.0]
    assert find("AWS/Lambda", "Errors", **live) == [0.0, 1.0, 0.0]
    assert find("AWS/Lambda", "Errors", FunctionName="F", Resource="F:2") == [1.0]
    assert find("AWS/Lambda", "Errors", FunctionName="F") == [0.0, 1.0, 0.0, 1.0]
    assert find("AWS/ApiGateway", "5XXError", **API) == [0.0, 1.0]
    assert find("AWS/ApiGateway", "Latency", **API) == [12.0, 12.0]
    assert (metrics.count_calls("F", "1"), metrics.count_calls("F", "2")) == (1, 2)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ("CodeDeployDefault.LambdaAllAtOnce", (0, 0.0)),
        ("CodeDeployDefault.LambdaCanary10Percent10Minutes", (10, 20.0)),
        ("CodeDeployDefault.LambdaLinear10PercentEvery1Minute", None),
    ],
)
def test_a_configuration_says_how_many_calls_for_how_long(config: str, wanted: tuple[int, float] | None) -> None:
    """A name with two seconds for a minute is understood; any other name is refused."""
    release = Release(cast("Any", None), cast("Any", None), cast("Any", None), minute_s=2.0, report=print)
    release._groups = [DeploymentGroup("F", config, "", {})]
    if wanted is None:
        with pytest.raises(ValueError, match="Linear"):
            release._read_config()
    else:
        assert release._read_config() == wanted


class ScriptedGateway:
    """Publishes what it is told, and keeps the weights of each shift. The hook reports `status`."""

    front = "http://127.0.0.1:1"

    def __init__(self, status: str = "Succeeded") -> None:
        self.shifts: list[Mapping[str, float]] = []
        self.layers: dict[str, list[str]] = {}
        self._status = status

    def publish(self, function: str, *, layer_dirs: list[str], **_options: object) -> str:
        self.layers[function] = layer_dirs
        return "2"

    def shift(self, _function: str, weights: Mapping[str, float]) -> None:
        self.shifts.append(weights)

    def read_live_versions(self) -> dict[str, str]:
        return {"F": "1", "Hook": "1"}

    def run_hook(self, _function: str, _version: str, _execution: str) -> str:
        return self._status


class ScriptedMetrics:
    """Has one value of each alarm's metric, a whole period ago, and keeps the dimensions asked for."""

    def __init__(self, value: float) -> None:
        self.asked: set[frozenset[tuple[str, str]]] = set()
        self._value = value
        self._calls: Counter[str] = Counter()

    def read_new(self) -> None:
        """Read nothing."""

    def find_values(self, alarm: Mapping[str, Any]) -> list[tuple[float, float]]:
        self.asked.add(frozenset((each["Name"], each["Value"]) for each in alarm["Dimensions"]))
        return [(time.time() - MINUTE_S, self._value)]

    def count_calls(self, _function: str, version: str) -> int:
        self._calls[version] += int(version)
        return self._calls[version]


MINUTE_S = 0.02
ALARM = {
    "Namespace": "AWS/Lambda",
    "MetricName": "Errors",
    "Dimensions": [{"Name": "FunctionName", "Value": "F"}, {"Name": "ExecutedVersion", "Value": "1"}],
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "notBreaching",
}


def run(
    gateway: ScriptedGateway, metrics: ScriptedMetrics, *, config: str = "LambdaCanary10Percent10Minutes"
) -> ReleaseResult:
    """Release another code of F, with the hook and the alarm above; return the end."""
    hook = replace(FUNCTION, logical_id="Hook", environment={"VERSIONS": '{"f": "arn:aws:lambda:eu:1:function:F:1"}'})
    group = DeploymentGroup("F", f"CodeDeployDefault.{config}", "Hook", {"ErrorsAlarm": ALARM})
    stack = SimpleNamespace(deployment_groups=[group], functions=[FUNCTION], find_function=lambda _name: hook)
    release = Release(
        cast("Any", stack), cast("Any", gateway), cast("Any", metrics), minute_s=MINUTE_S, report=lambda _text: None
    )
    return release.run({"F": NewCode("/new", ["/layer"])})


def test_the_hook_has_a_whole_client_of_aws() -> None:
    """It runs without our layer, as on Lambda: the layer lacks the descriptions of the services that the hook calls."""
    gateway = ScriptedGateway()
    run(gateway, ScriptedMetrics(0))
    [folder] = gateway.layers["Hook"]
    assert all((Path(folder) / f"botocore/data/{service}").is_dir() for service in ("codedeploy", "lambda"))
    assert gateway.layers["F"] == ["/layer"]


def test_a_release_whose_alarm_rings_is_rolled_back() -> None:
    """All calls go to the version before again; the alarm was asked for the new version."""
    gateway, metrics = ScriptedGateway(), ScriptedMetrics(1.0)
    result = run(gateway, metrics)
    assert (result.outcome, result.alarm, result.calls_seen, result.calls_total) == ("rolled back", "ErrorsAlarm", 2, 3)
    assert gateway.shifts == [{"2": 0.1, "1": 0.9}, {"1": 1.0}]
    assert metrics.asked == {frozenset({("FunctionName", "F"), ("ExecutedVersion", "2")})}


def test_a_release_whose_alarm_stays_quiet_is_promoted() -> None:
    """It is promoted after its canary."""
    gateway = ScriptedGateway()
    assert run(gateway, ScriptedMetrics(0.0)).outcome == "promoted"
    assert gateway.shifts == [{"2": 0.1, "1": 0.9}, {"2": 1.0}]


@pytest.mark.parametrize("status", ["Failed", "Pending"])
def test_a_release_that_the_hook_does_not_let_pass_gets_no_call(status: str) -> None:
    """This holds even if the hook has died without a word."""
    gateway = ScriptedGateway(status)
    assert run(gateway, ScriptedMetrics(0.0)).outcome == "refused"
    assert gateway.shifts == []


def test_all_at_once_asks_no_alarm() -> None:
    """Only the hook decides."""
    gateway = ScriptedGateway()
    assert run(gateway, ScriptedMetrics(1.0), config="LambdaAllAtOnce").outcome == "promoted"
    assert gateway.shifts == [{"2": 1.0}]


def test_the_new_code_is_that_of_the_functions_that_the_folder_has(tmp_path: Path) -> None:
    """Only functions that a canary releases count; the folder's own layer, if any, comes before the deployed one."""
    root, folder = tmp_path / "root", tmp_path / "new"
    (folder / "functions/f").mkdir(parents=True)
    deployed = replace(FUNCTION, code_dir=str(root / "functions/f"))
    missing = replace(FUNCTION, logical_id="G", code_dir=str(root / "functions/g"))
    stack = SimpleNamespace(
        deployment_groups=[DeploymentGroup("F", "", "", {}), DeploymentGroup("G", "", "", {})],
        find_function={"F": deployed, "G": missing}.get,
    )
    assert find_code(cast("Any", stack), root, folder) == {"F": NewCode(str(folder / "functions/f"), ["/layer"])}
    (folder / "layers/shared/shared").mkdir(parents=True)
    own = str(folder / "layers/shared")
    assert find_code(cast("Any", stack), root, folder)["F"].layer_dirs == [own, "/layer"]


def test_what_is_no_folder_and_no_revision_is_refused(tmp_path: Path) -> None:
    """The message has git's own words."""
    with pytest.raises(ReleaseFailed, match="neither a folder nor a revision"):
        extract_revision(StateFolder(ROOT, tmp_path), "no-such-revision")
    code = extract_revision(StateFolder(ROOT, tmp_path), "HEAD")
    assert (code / "functions/members/members/app.py").is_file()
