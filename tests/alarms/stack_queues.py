"""Messages in the queues of a running local cloud, as anybody could send them by SQS."""

import json
from typing import TYPE_CHECKING, Any

import boto3

from local.emulator import REGION
from tests.alarms.troubles import find_control
from tests.e2e.cloud import RunningCloud

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def send_message(cloud: RunningCloud, queue: str, *, delay_s: int = 0, trace: str = "") -> None:
    """Send a message, which the queue hides for a while, with a trace header, to a queue by its logical id."""
    attributes: dict[Any, Any] = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}} if trace else {}
    make_client(cloud).send_message(
        QueueUrl=find_queue(cloud, queue),
        MessageBody="{}",
        DelaySeconds=delay_s,
        MessageSystemAttributes=attributes,
    )


def purge_queue(cloud: RunningCloud, queue: str) -> None:
    """Delete all messages of a queue."""
    make_client(cloud).purge_queue(QueueUrl=find_queue(cloud, queue))


def find_queue(cloud: RunningCloud, queue: str) -> str:
    """Return the URL of a queue of the stack."""
    stack = json.loads((cloud.folder / "stack.json").read_text(encoding="utf-8"))
    return str(stack["outputs"][queue])


def make_client(cloud: RunningCloud) -> "SQSClient":
    """Return a client of the cloud's SQS."""
    return boto3.client(
        "sqs",
        endpoint_url=find_control(cloud, "emulator"),
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
