"""The SQS queues: job ids by priority for the workers, and the message that wakes the relay."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from shared.aws.errors import BOTO_ERRORS
from shared.ids import parse_id

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# SendMessageBatch takes ten.
BATCH = 10
# SQS delays a message by at most 15 minutes.
MAX_DELAY_S = 900


class JobQueues(Protocol):
    """The queues that receive job ids. Messages contain nothing else: the content of a job stays in the database."""

    def publish(self, priority: str, job_ids: Sequence[UUID], *, hops: int = 0) -> frozenset[UUID]:
        """Send each id to the queue of its priority; return the ids that SQS acknowledged.

        An id that is not returned may have been queued nevertheless, so workers must tolerate duplicates. `hops` counts
        how often workers have woken the relay in this chain of messages.
        """
        ...

    def wake_relay(self, *, delay_s: float = 0, hops: int = 0, jobs: Collection[UUID] = ()) -> bool:
        """Wake the relay now or in `delay_s` seconds (900 at most); return False if that failed.

        `jobs` are those whose commit is under way; the relay waits for them a little. `hops` as in `publish`.
        Never raise: a lost message costs only time, since the relay's schedule finds the work.
        """
        ...

    def delay_message(self, queue_arn: str, receipt: str, *, delay_s: float) -> bool:
        """Make a received message visible again in `delay_s` seconds; return False if that failed.

        Never raise: the message becomes visible anyway when its visibility timeout ends.
        """
        ...


class SqsJobQueues:
    """The job queues in SQS."""

    def __init__(self, client: "SQSClient", *, urls: Mapping[str, str], wake_up_url: str) -> None:
        """Take the URL of the queue of each priority, and of the queue that wakes the relay."""
        self._client = client
        self._urls = urls
        self._wake_up_url = wake_up_url

    def publish(self, priority: str, job_ids: Sequence[UUID], *, hops: int = 0) -> frozenset[UUID]:
        """Send job ids; see JobQueues.publish."""
        url = self._urls[priority]
        return frozenset(sent for batch in _split_batches(job_ids) for sent in self._send(url, batch, hops))

    def _send(self, url: str, batch: Sequence[UUID], hops: int) -> Iterable[UUID]:
        bodies = [format_message(job_id, hops=hops) for job_id in batch]
        try:
            answer = self._client.send_message_batch(
                QueueUrl=url, Entries=[{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)]
            )
        except BOTO_ERRORS:
            return ()
        return [batch[int(sent["Id"])] for sent in answer.get("Successful", ())]

    def wake_relay(self, *, delay_s: float = 0, hops: int = 0, jobs: Collection[UUID] = ()) -> bool:
        """Wake the relay; see JobQueues.wake_relay."""
        delay = min(max(round(delay_s), 0), MAX_DELAY_S)
        body = json.dumps({"hops": hops, **({"jobs": sorted(map(str, jobs))} if jobs else {})})
        try:
            self._client.send_message(QueueUrl=self._wake_up_url, MessageBody=body, DelaySeconds=delay)
        except BOTO_ERRORS:
            return False
        return True

    def delay_message(self, queue_arn: str, receipt: str, *, delay_s: float) -> bool:
        """Make a message visible later; see JobQueues.delay_message."""
        name = queue_arn.rpartition(":")[2]
        try:
            url = next(url for url in self._urls.values() if url.rpartition("/")[2] == name)
            self._client.change_message_visibility(
                QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=round(delay_s)
            )
        except (StopIteration, *BOTO_ERRORS):
            return False
        return True


def format_message(job_id: UUID, *, hops: int = 0) -> str:
    """Return the body of a job's message."""
    return json.dumps({"job_id": str(job_id), "hops": hops})


def read_hops(bodies: Iterable[str]) -> int:
    """Return the highest number of hops in the bodies of a batch.

    The batch continues one of their chains, and AWS does not say which. A body without the number, as an earlier
    release or a person sends it, counts as none.
    """
    return max(map(_read_hops_of_body, bodies), default=0)


def _read_hops_of_body(body: str) -> int:
    try:
        return int(json.loads(body)["hops"])
    except (KeyError, TypeError, ValueError):
        return 0


def read_expected_jobs(bodies: Iterable[str]) -> frozenset[UUID]:
    """Return the jobs that the wake-ups of a batch name; a body that names none, or something else, adds none."""
    return frozenset(job for body in bodies for job in _read_jobs_of_body(body))


def _read_jobs_of_body(body: str) -> list[UUID]:
    try:
        return [parse_id(job) for job in json.loads(body)["jobs"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []


def read_job_id(body: str) -> UUID:
    """Return the job id of a message's body. Raise ValueError if it has none."""
    try:
        return parse_id(json.loads(body)["job_id"])
    except (AttributeError, KeyError, TypeError):
        raise ValueError("not a job message") from None


def _split_batches(job_ids: Sequence[UUID]) -> Iterator[list[UUID]]:
    rest = iter(job_ids)
    while batch := list(islice(rest, BATCH)):
        yield batch
