"""AWS::CloudWatch::CompositeAlarm for the emulator's CloudFormation: the emulator has the alarms, not the resource.

Runs in the emulator's process. The properties are those of PutCompositeAlarm, which judges the rule whenever one of its
alarms changes.
"""

import json
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
