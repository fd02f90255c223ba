"""Alarms and dashboards of the emulator: deployed by CloudFormation as on AWS, and found where there are many."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.deploy import DeployFailed, EmulatorClients, deploy
from local.emulator import REGION
from local.events.cloudwatch import CloudWatch
from local.events.embedded_metrics import MetricDatum
from stress.alarms import AlarmReader
from tests.local.emulators import start_emulator

TEMPLATE = """
Resources:
  Topic:
    Type: AWS::SNS::Topic
  LeafAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties: {{Namespace: Test, MetricName: Bad, Statistic: Maximum, Period: 60, EvaluationPeriods: 1, Threshold: 1,
      ComparisonOperator: GreaterThanOrEqualToThreshold}}
  OtherAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties: {{Namespace: Test, MetricName: Odd, Statistic: Maximum, Period: 60, EvaluationPeriods: 1, Threshold: 1,
      ComparisonOperator: GreaterThanOrEqualToThreshold}}
  BothAlarm:
    Type: AWS::CloudWatch::CompositeAlarm
    Properties:
      AlarmDescription: Either of two.
      AlarmActions: [!Ref Topic]
      AlarmRule: !Sub >-
        {rule}
  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      DashboardName: !Ref AWS::StackName
      DashboardBody: !Sub '{{"widgets": [{{"type": "alarm", "properties": {{"alarms": ["${{BothAlarm.Arn}}"]}}}}]}}'
Parameters:
  Unused: {{Type: String, Default: ""}}
"""
EITHER = 'ALARM("${LeafAlarm}")\n        OR ALARM("${OtherAlarm}")'
OTHER = 'ALARM("${OtherAlarm}")'


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorClients]:
    """Yield the emulator."""
    folder: Path = tmp_path_factory.mktemp("composites") / "emulator"
    with start_emulator(folder) as (found, _):
        yield found


def read_composite(clients: EmulatorClients) -> dict[str, Any]:
    """Return the composite alarm."""
    answer = CloudWatch(clients.endpoint, REGION).call("DescribeAlarms", AlarmTypes=["CompositeAlarm"])
    [found] = answer["CompositeAlarms"]
    return dict(found)


def put(
    clients: EmulatorClients, name: str, value: float, at_ms: int, dimensions: tuple[tuple[str, str], ...] = ()
) -> None:
    """Put one value of a metric."""
    datum = MetricDatum("Test", name, "Count", at_ms, dimensions, (value,))
    CloudWatch(clients.endpoint, REGION).put_metrics("Test", [datum])


def test_a_composite_alarm_is_made_changed_and_rings(clients: EmulatorClients) -> None:
    """The template alone makes and changes it; its rule is judged when one of its alarms changes."""
    deploy(clients, TEMPLATE.format(rule=EITHER), {})
    made = read_composite(clients)
    assert (made["StateValue"], made["AlarmDescription"], len(made["AlarmActions"])) == ("OK", "Either of two.", 1)
    put(clients, "Bad", 1, int(time.time() * 1000))
    assert read_composite(clients)["StateValue"] == "ALARM"
    deploy(clients, TEMPLATE.format(rule=OTHER), {})
    changed = read_composite(clients)
    assert (changed["AlarmName"], changed["StateValue"]) == (made["AlarmName"], "OK")
    assert "LeafAlarm" not in changed["AlarmRule"]


def test_an_alarm_is_judged_by_its_own_dimensions_alone(clients: EmulatorClients) -> None:
    """Messages in one queue don't ring the alarm on another; an alarm without dimensions watches a metric without."""
    cloudwatch, now_ms = CloudWatch(clients.endpoint, REGION), int(time.time() * 1000)
    queues: dict[str, tuple[tuple[str, str], ...]] = {"mine": (("QueueName", "mine"),), "none": ()}
    for name, dimensions in queues.items():
        cloudwatch.call(
            "PutMetricAlarm", AlarmName=name, Namespace="Test", MetricName="Visible", Statistic="Maximum", Period=60,
            EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanOrEqualToThreshold",
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions],
        )  # fmt: skip

    def read_states() -> dict[str, str]:
        found = cloudwatch.call("DescribeAlarms", AlarmNames=list(queues))["MetricAlarms"]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}

    put(clients, "Visible", 5, now_ms, (("QueueName", "another"),))
    assert "ALARM" not in read_states().values()
    put(clients, "Visible", 5, now_ms, queues["mine"])
    assert read_states() == {"mine": "ALARM", "none": "INSUFFICIENT_DATA"}
    put(clients, "Visible", 5, now_ms)
    assert read_states()["none"] == "ALARM"


def test_a_dashboard_names_the_alarm(clients: EmulatorClients) -> None:
    """Its body is what Sub made of it."""
    deploy(clients, TEMPLATE.format(rule=EITHER), {})
    body = CloudWatch(clients.endpoint, REGION).call("GetDashboard", DashboardName="interdomestik")["DashboardBody"]
    assert read_composite(clients)["AlarmArn"] in body


def test_a_rule_that_cloudwatch_refuses_fails_the_deployment(clients: EmulatorClients) -> None:
    """The deployment reports the reason."""
    with pytest.raises(DeployFailed, match="AlarmRule"):
        deploy(clients, TEMPLATE.format(rule='ALARMS("${LeafAlarm}")'), {})


def test_the_readiness_report_finds_an_alarm_behind_the_first_page(clients: EmulatorClients) -> None:
    """CloudWatch lists fifty at once, in the order of their names."""
    cloudwatch = CloudWatch(clients.endpoint, REGION)
    for number in range(60):
        cloudwatch.call(
            "PutMetricAlarm",
            AlarmName=f"many-{number:02}",
            Namespace="Many",
            MetricName=f"Metric{number:02}",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )
    alarms = AlarmReader(clients.endpoint)
    assert asyncio.run(alarms.find_alarm("Metric59"))["AlarmName"] == "many-59"
    with pytest.raises(LookupError):
        asyncio.run(alarms.find_alarm("Metric60"))
