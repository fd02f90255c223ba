"""Each alarm watches a metric that exists, from the figure decided on, and reaches a person by one of two alarms."""

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from shared.logging import COUNTED, SCHEDULED_RUNS
from tests.packages import PACKAGES
from tests.settings.alarms import (
    ALARMS,
    BURST_SHARE,
    ONLY_CREATED,
    RELEASED,
    SCHEDULES,
    SLOW_MS,
    Group,
    Watch,
    properties,
)
from tests.settings.aws_metrics import DOCUMENTED
from tests.settings.deployed import load_database_template, load_template
from tests.settings.printed_metrics import as_text, printed_metrics

GROUPS: Mapping[Group, tuple[str, str]] = {
    "wake": ("WakeSomebodyAlarm", "WakeTopic"),
    "look": ("LookTomorrowAlarm", "AlarmTopic"),
}
TELL_PEOPLE = ("AlarmActions", "OKActions", "InsufficientDataActions")
LONGEST_RULE, MOST_CHILDREN = 10_240, 100  # of a composite alarm
LONGEST_NAME = 128  # of an alarm in a stack, far beyond what ours get
DAY_S = 86_400
FUNCTION, PRE_TRAFFIC = "AWS::Serverless::Function", "PreTrafficFunction"
# None of our alarms has such a value.
OTHER_VALUES: Mapping[str, Any] = {
    "Namespace": "Elsewhere",
    "MetricName": "Another",
    "Dimensions": [{"Name": "Another", "Value": "another"}],
    "Statistic": "SampleCount",
    "ExtendedStatistic": "p1",
    "Period": 90,
    "EvaluationPeriods": 99,
    "DatapointsToAlarm": 99,
    "Threshold": -1,
    "ComparisonOperator": "LessThanOrEqualToThreshold",
    "TreatMissingData": "missing",
    "AlarmActions": [{"Ref": "AlarmTopic"}],
    "ActionsEnabled": False,
}


def resources(kind: str) -> dict[str, Any]:
    """Return the properties of the template's resources of a type, by logical id."""
    found = load_template()["Resources"].items()
    return {name: each["Properties"] for name, each in found if each["Type"] == kind}


def leaves() -> dict[str, Any]:
    """Return the alarms on a metric."""
    return resources("AWS::CloudWatch::Alarm")


def composites() -> dict[str, Any]:
    """Return the alarms on other alarms."""
    return resources("AWS::CloudWatch::CompositeAlarm")


def shown(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """Return an alarm's properties as the table has them."""
    dimensions = {each["Name"]: as_text(each["Value"]) for each in alarm.get("Dimensions", [])}
    return {**{k: v for k, v in alarm.items() if k != "AlarmDescription"}, "Dimensions": dimensions}


def unknown(namespace: str, metric: str, dimensions: Mapping[str, str]) -> str | None:
    """Return what is wrong with the name of a metric; None where the code prints it, or AWS documents it."""
    if namespace.startswith("AWS/"):
        documented = DOCUMENTED.get((namespace, metric))
        if documented is None:
            return "not documented"
        return None if frozenset(dimensions) in documented.dimensions else "other dimensions"
    printed = [each for each in printed_metrics() if (each.namespace, each.name) == (namespace, metric)]
    if not printed:
        return "never printed"
    return None if any(dict(each.dimensions) == dict(dimensions) for each in printed) else "other dimensions"


def unit(watch: Watch) -> str:
    """Return the unit of the metric that an alarm watches, where it is printed or documented."""
    if watch.namespace.startswith("AWS/"):
        return DOCUMENTED[watch.namespace, watch.metric].unit
    [found] = {each.unit for each in printed_metrics() if each.name == watch.metric}
    return found


def read_rule(alarm: Mapping[str, Any], *, created: bool = True) -> str:
    """Return the rule of an alarm on alarms, in a stack with or without a database of its own."""
    return fill_variables(alarm["AlarmRule"]["Fn::Sub"], created=created).strip()


def fill_variables(value: Any, *, created: bool) -> str:
    """Return the text of a Sub with its own variables filled in, in a stack with or without a database of its own."""
    text, variables = (value, {}) if isinstance(value, str) else value
    for name, each in variables.items():
        condition, *choices = each["Fn::If"]
        assert condition == "CreatesDatabase"
        chosen = choices[0 if created else 1]
        filled = chosen.get("Fn::Sub", as_text(chosen)) if isinstance(chosen, dict) else chosen
        text = text.replace(f"${{{name}}}", filled)
    return str(text)


def names_in(rule: str) -> list[str]:
    """Return the alarms of a rule that is true where any of them rings. Raise ValueError where it is another rule."""
    names: list[str] = re.findall(r'ALARM\("\$\{(\w+)\}"\)', rule)
    if rule != " OR ".join(f'ALARM("${{{name}}}")' for name in names):
        raise ValueError(rule)
    return names


def test_every_alarm_is_the_one_decided_on() -> None:
    """Metric, dimensions, statistic, periods, threshold, comparison, what silence means, and no action of its own."""
    assert {name: shown(alarm) for name, alarm in leaves().items()} == {n: properties(w) for n, w in ALARMS.items()}


@pytest.mark.parametrize("key", OTHER_VALUES)
def test_each_figure_of_each_alarm_is_compared(key: str) -> None:
    """With another threshold, period or action, or without it, an alarm is no longer the one decided on."""
    for name, alarm in leaves().items():
        decided, without = properties(ALARMS[name]), {each: value for each, value in alarm.items() if each != key}
        assert shown({**alarm, key: OTHER_VALUES[key]}) != decided, name
        assert (shown(without) == decided) is (key not in alarm), name


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_watches_a_metric_that_exists(name: str) -> None:
    """The code printed it in a run, or AWS documents it, with these dimensions."""
    alarm = shown(leaves()[name])
    assert unknown(alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"]) is None


@pytest.mark.parametrize("name", ALARMS)
def test_every_threshold_is_in_the_unit_of_its_metric(name: str) -> None:
    """5,000 milliseconds are no 5,000 seconds."""
    assert unit(ALARMS[name]) == ALARMS[name].unit


@pytest.mark.parametrize(
    ("namespace", "metric", "dimensions", "wrong"),
    [
        ("Interdomestik", "Unhealthy", {"service": "health"}, "other dimensions"),
        ("Interdomestik", "Unhealthy", {"stack": "Ref AWS::StackName", "service": "fleet"}, "other dimensions"),
        ("Interdomestik", "Unhealth", {"stack": "Ref AWS::StackName", "service": "health"}, "never printed"),
        ("interdomestik", "Unhealthy", {"stack": "Ref AWS::StackName", "service": "health"}, "never printed"),
        ("AWS/Lambda", "Errors", {"Function": "Ref HealthFunction"}, "other dimensions"),
        ("AWS/Lambda", "Error", {"FunctionName": "Ref HealthFunction"}, "not documented"),
        ("AWS/SQS", "Errors", {"FunctionName": "Ref HealthFunction"}, "not documented"),
        ("AWS/DynamoDB", "ThrottledRequests", {"TableName": "Ref StateTable"}, "other dimensions"),
    ],
)
def test_a_metric_that_does_not_exist_is_found(
    namespace: str, metric: str, dimensions: dict[str, str], wrong: str
) -> None:
    """A wrong name, namespace or dimension: CloudWatch takes it and waits for ever."""
    assert unknown(namespace, metric, dimensions) == wrong


def test_every_dimension_names_what_it_should() -> None:
    """A function by its name, a queue by its name and not its address, the API by the name and stage that it has."""
    api = load_template()["Resources"]["Api"]["Properties"]
    valid = {
        "stack": {"Ref AWS::StackName"},
        "service": {"health", "fleet", *(name.lower() for name in RELEASED)},
        "version": {f"GetAtt {name}Function.Version.Version" for name in RELEASED},
        "Resource": {f"Sub ${{{name}Function}}:live" for name in RELEASED},
        "ExecutedVersion": {f"GetAtt {name}Function.Version.Version" for name in RELEASED},
        "FunctionName": {f"Ref {name}" for name in resources(FUNCTION)},
        "QueueName": {f"GetAtt {name}.QueueName" for name in resources("AWS::SQS::Queue")},
        "TableName": {f"Ref {name}" for name in resources("AWS::DynamoDB::Table")},
        "ApiName": {as_text(api["Name"])},
        "Stage": {api["StageName"]},
        "ProxyName": {"GetAtt Database.Outputs.ProxyName"},
    }
    found = [(k, v) for alarm in leaves().values() for k, v in shown(alarm)["Dimensions"].items()]
    assert [(name, value) for name, value in found if value not in valid[name]] == []


def test_every_function_and_queue_is_watched() -> None:
    """Errors and throttles of each function, age or number of each queue's messages.

    A migration or a setup that fails, or a hook that is throttled, stops the deployment in front of whoever deploys.
    """
    watched = {(w.metric, value) for w in ALARMS.values() for value in w.dimensions.values()}
    nested = load_database_template()["Resources"].items()
    names = {*resources(FUNCTION), *(name for name, each in nested if each["Type"] == FUNCTION)}
    unwatched = {(m, name) for m in ("Errors", "Throttles") for name in names if (m, f"Ref {name}") not in watched}
    only_deployments = {(m, f"{name}Function") for m in ("Errors", "Throttles") for name in ("Migration", "Setup")}
    assert unwatched == only_deployments | {("Throttles", PRE_TRAFFIC)}
    queues = {f"GetAtt {name}.QueueName" for name in resources("AWS::SQS::Queue")}
    assert {value for w in ALARMS.values() if w.namespace == "AWS/SQS" for value in w.dimensions.values()} == queues


def test_everything_that_the_code_counts_is_watched_but_what_is_well() -> None:
    """A circuit that closes is the end of a trouble; the age of all jobs together is that of one priority."""
    watched = {w.metric for w in ALARMS.values() if w.namespace == "Interdomestik"}
    assert {each.name for each in printed_metrics()} - watched == {"CircuitsClosed", "JobsOldestPendingSeconds"}


@pytest.mark.parametrize("event", COUNTED)
def test_every_event_that_is_counted_is_emitted_somewhere(event: str) -> None:
    """An alarm on an event that no code tells of would never ring."""
    assert event in set(_texts_of_the_code())


def _texts_of_the_code() -> Iterator[str]:
    """Yield each text that the functions and the layer contain, except for the table of counted events itself."""
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            if path.name != "logging.py":
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        yield node.value


def test_every_alarm_is_in_the_rule_of_its_group_and_in_no_other() -> None:
    """Each of the two rings as soon as any of its alarms does."""
    found = {name: names_in(read_rule(alarm)) for name, alarm in composites().items()}
    assert found == {
        composite: [name for name, watch in ALARMS.items() if watch.group == group]
        for group, (composite, _) in GROUPS.items()
    }


@pytest.mark.parametrize(
    "rule", ['ALARM("${A}") AND ALARM("${B}")', 'OK("${A}")', 'ALARM("${A}") OR NOT ALARM("${B}")', "TRUE"]
)
def test_another_rule_is_refused(rule: str) -> None:
    """The rule waits for two alarms, or negates one."""
    with pytest.raises(ValueError, match=re.escape(rule)):
        names_in(rule)


def test_what_only_a_created_database_has_is_watched_there_alone() -> None:
    """A rule that names an alarm which is not there can't be deployed."""
    resources_ = load_template()["Resources"]
    assert {name for name in ALARMS if resources_[name].get("Condition") == "CreatesDatabase"} == ONLY_CREATED
    assert {name for name in ALARMS if "Condition" in resources_[name]} == ONLY_CREATED
    for alarm in composites().values():
        with_it, without = (names_in(read_rule(alarm, created=created)) for created in (True, False))
        assert without == [name for name in with_it if name not in ONLY_CREATED]


def test_an_alarm_on_a_schedule_is_made_after_the_migration_that_counts_as_a_run() -> None:
    """A new stack's schedules have not run yet, and silence rings."""
    resources_ = load_template()["Resources"]
    for alarm, function in SCHEDULES.items():
        assert (resources_[alarm]["DependsOn"], resources_[function]["DependsOn"]) == (function, "Migration")


def test_every_schedule_is_watched() -> None:
    """By the runs that it begins; that of the health function by its report, whose silence rings as well."""
    scheduled = {
        name
        for name, function in resources(FUNCTION).items()
        if any(event["Type"].startswith("Schedule") for event in function.get("Events", {}).values())
    }
    assert scheduled == {*SCHEDULES.values(), "HealthFunction"}
    assert {ALARMS[name].missing for name in (*SCHEDULES, "UnhealthyAlarm")} == {"breaching"}
    assert [name.removesuffix("Function").lower() for name in SCHEDULES.values()] == list(SCHEDULED_RUNS)
    assert [ALARMS[name].metric for name in SCHEDULES] == list(SCHEDULED_RUNS.values())


def test_a_rule_keeps_within_what_cloudwatch_takes() -> None:
    """It does so even if each alarm's name has its greatest length."""
    for name, alarm in composites().items():
        names = names_in(read_rule(alarm))
        assert len(names) <= MOST_CHILDREN, name
        assert len(" OR ".join(f'ALARM("{"x" * LONGEST_NAME}")' for _ in names)) <= LONGEST_RULE, name


def test_both_alarms_tell_their_topic_of_beginning_and_end() -> None:
    """Waking somebody has a topic of its own."""
    told = {
        name: {action: alarm[action] for action in TELL_PEOPLE if action in alarm} | {"on": alarm.get("ActionsEnabled")}
        for name, alarm in composites().items()
    }
    assert told == {
        composite: {"AlarmActions": [{"Ref": topic}], "OKActions": [{"Ref": topic}], "on": None}
        for composite, topic in GROUPS.values()
    }


def test_what_a_release_rings_is_told_if_it_still_rings_afterwards_and_only_what_can_wait() -> None:
    """The wait is longer than the hook may run, since Lambda counts an invocation when it has ended."""
    parts = ("ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")
    found = {name: [alarm[part] for part in parts if part in alarm] for name, alarm in composites().items()}
    assert found == {"WakeSomebodyAlarm": [], "LookTomorrowAlarm": [{"Ref": "ReleaseInProgressAlarm"}, 420, 60]}
    assert resources(FUNCTION)[PRE_TRAFFIC]["Timeout"] + 2 * 60 <= 420


def test_the_topics_are_subscribed_by_their_mailboxes() -> None:
    """The one for what wakes somebody by WakeMailbox, or by AlarmMailbox where there is no other."""
    found = {
        name: (load_template()["Resources"][name]["Condition"], subscription)
        for name, subscription in resources("AWS::SNS::Subscription").items()
    }
    by_mail = {"Protocol": "email"}
    endpoint = {"Fn::If": ["WakesElsewhere", {"Ref": "WakeMailbox"}, {"Ref": "AlarmMailbox"}]}
    assert found == {
        "AlarmSubscription": (
            "AlarmsByMail",
            {"TopicArn": {"Ref": "AlarmTopic"}, "Endpoint": {"Ref": "AlarmMailbox"}, **by_mail},
        ),
        "WakeSubscription": ("WakesByMail", {"TopicArn": {"Ref": "WakeTopic"}, "Endpoint": endpoint, **by_mail}),
    }
    conditions = load_template()["Conditions"]
    assert conditions["AlarmsByMail"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmMailbox"}, ""]}]}
    assert conditions["WakesElsewhere"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "WakeMailbox"}, ""]}]}
    assert conditions["WakesByMail"] == {"Fn::Or": [{"Condition": "AlarmsByMail"}, {"Condition": "WakesElsewhere"}]}


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarms_periods_are_such_as_cloudwatch_takes(name: str) -> None:
    """Whole minutes, and together no more than a day, or a week where a period is an hour or longer."""
    watch = ALARMS[name]
    needed, of = watch.datapoints
    assert watch.period_s % 60 == 0
    assert watch.period_s * of <= (DAY_S if watch.period_s < 3600 else 7 * DAY_S)
    assert 1 <= needed <= of


def test_a_slow_function_is_noticed_before_it_times_out() -> None:
    """All but AdminFunction and MigrationFunction, for which somebody waits."""
    functions, usual = resources(FUNCTION), load_template()["Globals"]["Function"]["Timeout"]
    for name, most_ms in {**SLOW_MS, "Housekeeping": ALARMS["HousekeepingDurationAlarm"].threshold}.items():
        assert most_ms < functions[f"{name}Function"].get("Timeout", usual) * 1000, name
    assert len(SLOW_MS) + 3 == len(functions) - 1  # PreTrafficFunction, for which a deployment waits


def test_concurrency_is_noticed_at_four_fifths_of_what_is_reserved() -> None:
    """This is about the functions behind the API: the others use all of theirs if there is enough to do."""
    functions = resources(FUNCTION)
    behind_api = {
        name.removesuffix("Function"): function["ReservedConcurrentExecutions"]["Fn::If"][1]
        for name, function in functions.items()
        if any(event["Type"] == "Api" for event in function.get("Events", {}).values())
    }
    found = {
        name.removesuffix("ConcurrencyAlarm"): watch.threshold
        for name, watch in ALARMS.items()
        if watch.metric == "ConcurrentExecutions"
    }
    assert found == {name: reserved * BURST_SHARE for name, reserved in behind_api.items()}


def test_an_old_message_is_noticed_while_it_is_there() -> None:
    """The alarm rings before the queue deletes the message."""
    for name, queue in resources("AWS::SQS::Queue").items():
        if not name.startswith("DeadLetter"):
            assert ALARMS[f"{name}AgeAlarm"].threshold < queue["MessageRetentionPeriod"], name
