"""A release gets traffic by a canary: its versions are checked, then get a tenth of the calls, watched by alarms."""

import json
import re
from functools import cache
from random import Random
from typing import Any

import pytest

from pretraffic.checks import build_checks, draw_caller
from tests.settings.alarms import ALARMS, RELEASED, Watch
from tests.template.translation import Json, find_by_type, load_template, translate_with

HOOK = "PreTrafficFunction"
HOOK_ALARM = "PreTrafficErrorsAlarm"
MOST_ALARMS = 10  # of a deployment group
WHOLE_API = ["ServerErrorsAlarm", "LatencyAlarm"]  # what a version can't be asked for: answers that the gateway makes
# From the end of a minute to the alarm: a metric is there after about a minute, and an alarm is judged once a minute.
DELAY_MINUTES = 2
CANARY = re.compile(r"Canary10Percent(\d+)Minutes")


@cache
def translate_preference(preference: str) -> Json:
    """Return the template that CloudFormation gets with a value of the parameter."""
    return translate_with({"DeploymentPreference": preference})


def list_alarms(group: Json, *, gradually: bool) -> list[str]:
    """Return the alarms of a deployment group, which are enabled, if it shifts gradually or all at once."""
    condition, *choices = group["AlarmConfiguration"]["Fn::If"]
    assert condition == "ShiftsGradually"
    chosen = choices[0 if gradually else 1]
    assert chosen["Enabled"] is True
    return [each["Name"]["Ref"] for each in chosen["Alarms"]]


def list_groups() -> dict[str, Json]:
    """Return the deployment groups by function."""
    found = find_by_type(translate_preference("Canary10Percent10Minutes"), "AWS::CodeDeploy::DeploymentGroup")
    return {name.removesuffix("FunctionDeploymentGroup"): group for name, group in found.items()}


def test_every_function_that_clients_or_jobs_reach_is_released_by_a_canary() -> None:
    """Relay, housekeeping and the operators' function move at once: a schedule calls them, or a person."""
    assert set(list_groups()) == set(RELEASED)


@pytest.mark.parametrize("name", RELEASED)
def test_an_alias_moves_by_its_group_after_the_hook(name: str) -> None:
    """Each function has one, all in one application."""
    alias = translate_preference("Canary10Percent10Minutes")["Resources"][f"{name}FunctionAliaslive"]
    assert alias["UpdatePolicy"] == {
        "CodeDeployLambdaAliasUpdate": {
            "ApplicationName": {"Ref": "ServerlessDeploymentApplication"},
            "DeploymentGroupName": {"Ref": f"{name}FunctionDeploymentGroup"},
            "BeforeAllowTrafficHook": {"Ref": HOOK},
        }
    }


@pytest.mark.parametrize("name", RELEASED)
def test_a_release_is_watched_by_the_alarms_on_its_own_version(name: str) -> None:
    """And, of a function behind the API, by those on all answers; and by the one on the hook."""
    own = [f"{name}ReleaseErrorsAlarm", f"{name}ReleaseFailuresAlarm"]
    watched = list_alarms(list_groups()[name], gradually=True)
    assert watched == [*own, *([] if name == "Worker" else WHOLE_API), HOOK_ALARM]


@pytest.mark.parametrize("name", RELEASED)
def test_all_at_once_has_an_alarm_of_its_own_and_no_canarys(name: str) -> None:
    """A list that is left out, or empty, might leave the group the list of the deployment before.

    It is the way out when an alarm rings because of what is live: no alarm may ring there but the hook's.
    """
    assert list_alarms(list_groups()[name], gradually=False) == [HOOK_ALARM]
    assert ALARMS[HOOK_ALARM].dimensions == {"FunctionName": f"Ref {HOOK}"}


def test_a_group_has_no_more_alarms_than_codedeploy_takes() -> None:
    """Ten, each once."""
    for group in list_groups().values():
        watched = list_alarms(group, gradually=True)
        assert len(set(watched)) == len(watched) <= MOST_ALARMS


def test_a_release_that_fails_or_rings_is_rolled_back() -> None:
    """A release that somebody stops is rolled back too."""
    for group in list_groups().values():
        assert group["AutoRollbackConfiguration"] == {
            "Enabled": True,
            "Events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
        }


def list_preferences() -> list[str]:
    """Return the values that the parameter may have."""
    values: list[str] = load_template()["Parameters"]["DeploymentPreference"]["AllowedValues"]
    return values


@pytest.mark.parametrize("preference", list_preferences())
def test_the_parameter_names_a_configuration_of_codedeploys(preference: str) -> None:
    """It is one of CodeDeploy's predefined ones, of which all at once is one."""
    named = {"Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": preference}]}
    found = find_by_type(translate_preference(preference), "AWS::CodeDeploy::DeploymentGroup").values()
    assert [group["DeploymentConfigName"] for group in found] == [named] * len(RELEASED)
    assert preference == "AllAtOnce" or CANARY.fullmatch(preference)


def count_minutes_to_ring(watch: Watch) -> float:
    """Return after how many minutes of trouble an alarm rings at the latest."""
    needed, _ = watch.datapoints
    return needed * watch.period_s / 60 + DELAY_MINUTES


@pytest.mark.parametrize("preference", [each for each in list_preferences() if each != "AllAtOnce"])
def test_every_alarm_of_a_release_can_ring_within_its_canary(preference: str) -> None:
    """One that needs longer would ring when all calls reach the new version."""
    found = CANARY.fullmatch(preference)
    assert found
    names = {name for group in list_groups().values() for name in list_alarms(group, gradually=True)}
    assert {name for name in names if count_minutes_to_ring(ALARMS[name]) > int(found[1])} == set()


# Clock minutes in which a version may fail before it is rolled back: that of its first failure, which rings its alarm,
# those until the alarm is judged, and that in which CodeDeploy moves the alias back.
FAILING_MINUTES = 1 + DELAY_MINUTES + 1
OF_CALLS = ("Errors", "5XXError", "Latency")  # metrics that each call of a version adds to


def test_what_wakes_somebody_asks_for_more_minutes_than_a_release_may_fail() -> None:
    """All but the report of the schedule, of whose runs two in a row would have to reach the new version."""
    waking = {name: watch for name, watch in ALARMS.items() if watch.group == "wake" and watch.metric in OF_CALLS}
    assert set(waking) == {"HealthErrorsAlarm", *WHOLE_API}
    too_soon = {name for name, each in waking.items() if each.datapoints[0] * each.period_s / 60 <= FAILING_MINUTES}
    assert too_soon == set()


def test_a_release_is_in_progress_until_the_longest_canary_and_what_it_rang_are_over() -> None:
    """From the begin of the hook, with a period of five minutes in which an error of the last minute counts."""
    longest = max(int(found[1]) for each in list_preferences() if (found := CANARY.fullmatch(each)))
    hook_minutes = load_template()["Resources"][HOOK]["Properties"]["Timeout"] / 60
    _, looked_at = ALARMS["ReleaseInProgressAlarm"].datapoints
    assert looked_at >= hook_minutes + longest + FAILING_MINUTES + 5


def test_the_hook_is_given_every_new_version_and_checks_it() -> None:
    """It gets the version's ARN, under the name of its service."""
    function = load_template()["Resources"][HOOK]
    text, refs = function["Properties"]["Environment"]["Variables"]["VERSIONS"]["Fn::Sub"]
    assert json.loads(text) == {name.lower(): f"${{{name}}}" for name in RELEASED}
    assert refs == {name: {"Ref": f"{name}Function.Version"} for name in RELEASED}
    assert set(build_checks("client", draw_caller(Random(1)))) == set(json.loads(text))


def test_the_hook_stands_alone() -> None:
    """CodeDeploy may invoke it by its name; of the others it takes the runtime and the architecture, nothing else.

    The globals are named one by one because checkov reads neither `IgnoreGlobals: "*"` nor two lists of one name.
    """
    template = load_template()
    function = template["Resources"][HOOK]
    assert set(function["IgnoreGlobals"]) == template["Globals"]["Function"].keys() - {"Runtime", "Architectures"}
    assert function["Properties"]["FunctionName"] == {"Fn::Sub": "CodeDeployHook_${AWS::StackName}"}
    made: Any = translate_preference("AllAtOnce")["Resources"][HOOK]["Properties"]
    assert {"Layers", "VpcConfig"} & made.keys() == set()
    assert (made["Runtime"], made["Architectures"]) == ("python3.13", [{"Ref": "Architecture"}])


def test_codedeploy_may_do_what_amazons_policy_for_lambda_allows() -> None:
    """Nobody else may take its role."""
    role = translate_preference("AllAtOnce")["Resources"]["CodeDeployServiceRole"]["Properties"]
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": ["codedeploy.amazonaws.com"]}
    assert len(role["ManagedPolicyArns"]) == 1
    assert "Policies" not in role


def test_alarms_on_traffic_are_left_out_all_at_once_alone() -> None:
    """There they could say nothing in time, and would stop the release that repairs what rings."""
    condition = load_template()["Conditions"]["ShiftsGradually"]
    assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": "DeploymentPreference"}, "AllAtOnce"]}]}
