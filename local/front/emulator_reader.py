"""The front page's reads of the emulator: queues and alarms. The calls block; they run in threads."""

import threading
from functools import cached_property
from typing import Any

from local.front.model import AlarmLine, QueueLine

# what a person wants to see first
ALARM_ORDER = ("ALARM", "INSUFFICIENT_DATA", "OK")
COUNTS = {
    "waiting": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}


class EmulatorReader:
    """Reads the emulator at an endpoint. Each call raises OSError while it does not answer."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()  # boto3 makes its clients one at a time

    @cached_property
    def _sqs(self) -> Any:
        from local.deploy import EmulatorClients

        with self._lock:
            return EmulatorClients(self._endpoint).get("sqs")

    def list_queues(self) -> list[QueueLine]:
        """Return all queues of the stack, dead letters last."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            urls = self._sqs.list_queues().get("QueueUrls", [])
            found = {
                url: self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"] for url in urls
            }
        except (BotoCoreError, ClientError) as error:
            raise OSError(f"the emulator's SQS does not answer: {type(error).__name__}") from error
        policies = "".join(attributes.get("RedrivePolicy", "") for attributes in found.values())
        lines = [_make_queue(url, attributes, policies) for url, attributes in found.items()]
        return sorted(lines, key=lambda line: (line.is_dead_letter, line.name))

    def list_alarms(self) -> list[AlarmLine]:
        """Return the alarms that the dashboard lists, those that ring first."""
        from local.dashboard.widgets import load_listed_alarms
        from local.deploy import STACK_NAME
        from local.emulator import REGION
        from local.events.cloudwatch import CloudWatch, MetricsRejected

        try:
            found = load_listed_alarms(CloudWatch(self._endpoint, REGION), STACK_NAME)
        except MetricsRejected as error:
            raise OSError(str(error)) from error
        lines = [AlarmLine(alarm.name, alarm.state, alarm.description) for alarm in found]
        return sorted(lines, key=lambda line: ALARM_ORDER.index(line.state))


def shorten_name(name: str) -> str:
    """Return the logical id in a name of CloudFormation's: <stack>-<logical id>-<random>."""
    parts = name.split("-")
    return parts[1] if len(parts) > 2 else name


def _make_queue(url: str, attributes: dict[str, str], policies: str) -> QueueLine:
    counts = {name: int(attributes.get(attribute, 0)) for name, attribute in COUNTS.items()}
    is_dead_letter = bool(attributes.get("QueueArn")) and f'"{attributes["QueueArn"]}"' in policies
    return QueueLine(shorten_name(url.rpartition("/")[2]), is_dead_letter=is_dead_letter, **counts)
