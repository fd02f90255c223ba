"""The messages that alarms send to people: a queue that is subscribed to their topics."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stress.local_target import LocalCloud

QUEUE = "stress-alarms"
BATCH = 10  # SQS's own limit of a call


@dataclass(frozen=True)
class AlarmMailbox:
    """A queue that gets what is sent to the topics of some alarms from now on."""

    cloud: LocalCloud
    url: str

    @classmethod
    async def subscribe(cls, cloud: LocalCloud, alarms: Iterable[Mapping[str, Any]]) -> "AlarmMailbox":
        """Subscribe to all topics that these alarms' actions name."""
        topics = {str(arn) for alarm in alarms for kind in ("AlarmActions", "OKActions") for arn in alarm.get(kind, ())}
        return await asyncio.to_thread(cls._subscribe, cloud, topics)

    @classmethod
    def _subscribe(cls, cloud: LocalCloud, topics: Iterable[str]) -> "AlarmMailbox":
        sqs, sns = cloud.aws.make_client("sqs"), cloud.aws.make_client("sns")
        url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for topic in topics:
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return cls(cloud, url)

    async def read_messages(self) -> set[tuple[str, str, str]]:
        """Return what has come: the alarm, its state and the topic, by their names in the template."""
        return await asyncio.to_thread(self._read_messages)

    def _read_messages(self) -> set[tuple[str, str, str]]:
        sqs, found = self.cloud.aws.make_client("sqs"), set()
        while batch := sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=BATCH).get("Messages"):
            for message in batch:
                envelope = json.loads(message["Body"])
                told = json.loads(envelope["Message"])
                topic = str(envelope["TopicArn"]).rpartition(":")[2].split("-")[1]
                found.add((str(told["AlarmName"]).split("-")[1], str(told["NewStateValue"]), topic))
                sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return found
