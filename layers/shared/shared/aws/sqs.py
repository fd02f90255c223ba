"""The queues on SQS: job ids by priority for the workers, and the nudge that wakes the relay."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from shared.aws.errors import BOTO_ERRORS
from shared.ids import parse_id

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# SendMessageBatch takes ten.
BATCH = 10
# SQS holds a message back for at most 15 minutes.
MAX_DELAY_S = 900


class JobQueues(Protocol):
    """The queues that job ids are sent to. Messages hold nothing else: what a job says stays in the database."""

    def publish(self, priority: str, job_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Send each id to the queue of its priority; return those that SQS acknowledged.

        An id not returned may have been queued all the same: whoever takes a job must bear a duplicate.
        """
        ...

    def wake_relay(self, *, delay_s: float = 0) -> bool:
        """Wake the relay, now or `delay_s` seconds from now (900 at most); False where that failed.

        Never raises: a lost nudge costs time only, the relay's schedule finds the work.
        """
        ...

    def delay_message(self, queue_arn: str, receipt: str, *, delay_s: float) -> bool:
        """Let a received message be seen again in `delay_s` seconds; False where that failed.

        Never raises: it is seen again anyhow, when its visibility timeout is over.
        """
        ...


class SqsJobQueues:
    """Queues of SQS."""

    def __init__(self, client: "SQSClient", *, urls: Mapping[str, str], nudge_url: str) -> None:
        """`urls` maps each priority to its queue."""
        self._client = client
        self._urls = urls
        self._nudge_url = nudge_url

    def publish(self, priority: str, job_ids: Sequence[UUID]) -> frozenset[UUID]:
        """See Queues.publish."""
        url = self._urls[priority]
        return frozenset(sent for batch in _split_batches(job_ids) for sent in self._send(url, batch))

    def _send(self, url: str, batch: Sequence[UUID]) -> Iterable[UUID]:
        try:
            answer = self._client.send_message_batch(
                QueueUrl=url,
                Entries=[{"Id": str(i), "MessageBody": format_message(job_id)} for i, job_id in enumerate(batch)],
            )
        except BOTO_ERRORS:
            return ()
        return [batch[int(sent["Id"])] for sent in answer.get("Successful", ())]

    def wake_relay(self, *, delay_s: float = 0) -> bool:
        """See Queues.nudge."""
        delay = min(max(round(delay_s), 0), MAX_DELAY_S)
        try:
            self._client.send_message(QueueUrl=self._nudge_url, MessageBody="{}", DelaySeconds=delay)
        except BOTO_ERRORS:
            return False
        return True

    def delay_message(self, queue_arn: str, receipt: str, *, delay_s: float) -> bool:
        """See Queues.show_again."""
        name = queue_arn.rpartition(":")[2]
        try:
            url = next(url for url in self._urls.values() if url.rpartition("/")[2] == name)
            self._client.change_message_visibility(
                QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=round(delay_s)
            )
        except (StopIteration, *BOTO_ERRORS):
            return False
        return True


def format_message(job_id: UUID) -> str:
    """Return the body of the message that stands for a job."""
    return json.dumps({"job_id": str(job_id)})


def read_job_id(body: str) -> UUID:
    """Return the job a message stands for; ValueError where it stands for none."""
    try:
        return parse_id(json.loads(body)["job_id"])
    except (AttributeError, KeyError, TypeError):
        raise ValueError("not a job message") from None


def _split_batches(job_ids: Sequence[UUID]) -> Iterator[list[UUID]]:
    rest = iter(job_ids)
    while batch := list(islice(rest, BATCH)):
        yield batch
