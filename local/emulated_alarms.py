"""What the emulator lacks of CloudWatch's alarms: the resource of a composite alarm, and the alarm's own metric.

Runs in the emulator's process. A composite alarm's properties are those of PutCompositeAlarm, which judges the rule
whenever one of its alarms changes.

The emulator judges an alarm by all metrics of its name, so that a message in any queue would ring the alarm on dead
letters. Here it sees only the metric with exactly the alarm's dimensions, as on AWS.
"""

import json
from types import FunctionType
from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

TYPE = "AWS::CloudWatch::CompositeAlarm"
LONGEST_NAME = 255
OK = 200


def add_composite_alarms() -> None:
    """Teach CloudFormation the type."""
    provisioners._RESOURCE_HANDLERS[TYPE] = {  # noqa: SLF001 - it has no public name
        "create": create,
        "update": update,
        "delete": delete,
    }


def judge_alarms_by_their_dimensions() -> None:
    """Let the emulator's own judgement of an alarm see no metric but the alarm's."""
    judge = cloudwatch._evaluate_alarm  # noqa: SLF001 - it has no public name

    def judge_alarm(alarm: dict[str, Any]) -> None:
        own = {"_metrics": _find_metric(alarm)}
        FunctionType(judge.__code__, vars(cloudwatch) | own)(alarm)

    cloudwatch._evaluate_alarm = judge_alarm  # noqa: SLF001


def _find_metric(alarm: dict[str, Any]) -> dict[Any, Any]:
    """Return the values of an alarm's metric by its key, as the emulator stores them; empty if it has none yet."""
    dimensions = {each["Name"]: each["Value"] for each in alarm.get("Dimensions", [])}
    key = (alarm.get("Namespace"), alarm.get("MetricName"), cloudwatch._dims_key(dimensions))  # noqa: SLF001
    values = cloudwatch._metrics.get(key)  # noqa: SLF001
    return {key: values} if values else {}


def create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, str]]:
    """Create the alarm; return its name and attributes. Raise ValueError."""
    made = provisioners._physical_name(stack, logical_id, max_len=LONGEST_NAME)  # noqa: SLF001
    return put(properties.get("AlarmName") or made, properties)


def update(name: str, _old: dict[str, Any], properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    """Change the alarm in place. Raise ValueError."""
    return put(name, properties)


def put(name: str, properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Create or replace the alarm of that name; return its name and attributes. Raise ValueError."""
    _call(cloudwatch._put_composite_alarm, {**properties, "AlarmName": name})  # noqa: SLF001
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}  # noqa: SLF001


def delete(name: str, _properties: dict[str, Any]) -> None:
    """Delete the alarm. Raise ValueError."""
    _call(cloudwatch._delete_alarms, {"AlarmNames": [name]})  # noqa: SLF001


def _call(operation: Any, request: dict[str, Any]) -> None:
    status, _headers, body = operation({}, request, is_cbor=False, is_json=True)
    if status != OK:
        raise ValueError(f"{TYPE}: {json.loads(body).get('message', body)}")
