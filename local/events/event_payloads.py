"""The events that Lambda makes of SQS messages and schedules, and the batch response that a function returns."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from local.runtime.variables import ACCOUNT


def build_queue_arn(queue_url: str, region: str) -> str:
    """Return the ARN of a queue, from its URL."""
    account, name = urlsplit(queue_url).path.strip("/").split("/")[-2:]
    return f"arn:aws:sqs:{region}:{account}:{name}"


def build_sqs_event(messages: list[dict[str, Any]], arn: str) -> dict[str, Any]:
    """Return the event of a batch of messages as `ReceiveMessage` returns them."""
    return {"Records": [_build_record(message, arn) for message in messages]}


def _build_record(message: dict[str, Any], arn: str) -> dict[str, Any]:
    attributes = message.get("MessageAttributes", {})
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {name: _convert_attribute(value) for name, value in attributes.items()},
        "md5OfBody": message.get("MD5OfBody", ""),
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
    }


def _convert_attribute(value: dict[str, Any]) -> dict[str, Any]:
    shape = {"dataType": value["DataType"], "stringListValues": [], "binaryListValues": []}
    return {**shape, "stringValue": value["StringValue"]} if "StringValue" in value else shape


def build_scheduled_event(rule: str, region: str, now: datetime) -> dict[str, Any]:
    """Return EventBridge's default event of a schedule."""
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:events:{region}:{ACCOUNT}:rule/{rule}"],
        "detail": {},
    }


def list_failed_ids(payload: bytes, message_ids: set[str]) -> set[str]:
    """Return the ids of messages that a function reporting partial failures did not handle.

    As in Lambda, null, an empty object and an empty list mean that all succeeded; anything that can't be read, or an
    identifier that is empty, null or not in the batch, means that all failed.
    """
    try:
        answer = json.loads(payload)
        items = (answer or {}).get("batchItemFailures") or []
        failed = {item["itemIdentifier"] for item in items}
    except (ValueError, AttributeError, TypeError, KeyError):
        return message_ids
    return failed if failed <= message_ids else message_ids
