"""An SQS event source mapping: one long poll, and up to `max_concurrency` batches at the same time."""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.events.event_payloads import build_queue_arn, build_sqs_event, list_failed_ids
from local.events.invoke import FunctionInvoker
from local.runtime.lineage import find_longest_chain
from local.stack import QueueSource

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LONG_POLL_S = 20
BATCH_OF_ONE_CALL = 10  # the limit of ReceiveMessage and DeleteMessageBatch
DEFAULT_CONCURRENCY = 5  # for a mapping without ScalingConfig: Lambda's initial concurrency
BACKOFF_S = (0.5, 1.0, 2.0, 5.0)  # between attempts while the emulator is unreachable
THROTTLED_PAUSE_S = 0.2
THROTTLED_LIMIT_S = 10.0  # then the batch waits for its visibility timeout

log = logging.getLogger(__name__)
Message = dict[str, Any]


class QueuePoller:
    """A thread that passes messages of one queue to one function, until `stop` is set."""

    def __init__(
        self, source: QueueSource, sqs: "SQSClient", invoke: FunctionInvoker, *, region: str, stop: threading.Event
    ) -> None:
        self._source = source
        self._sqs = sqs
        self._invoke = invoke
        self._arn = build_queue_arn(source.queue_url, region)
        self._stop = stop
        self._limit = source.max_concurrency or DEFAULT_CONCURRENCY
        self._free = threading.Semaphore(self._limit)
        self._working: set[Future[None]] = set()
        self._workers = ThreadPoolExecutor(self._limit, thread_name_prefix=source.function)

    def run(self) -> None:
        """Poll until `stop` is set; retry while the emulator is unreachable."""
        failures = 0
        while not self._stop.is_set():
            self._free.acquire()
            try:
                batch = self._receive_batch()
                failures = 0
            except (BotoCoreError, ClientError) as error:
                log.warning("%s: %s", self._arn, type(error).__name__)
                batch = []
                self._stop.wait(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1
            if batch and not self._stop.is_set():
                self._working.add(handling := self._workers.submit(self._handle_batch, batch))
                handling.add_done_callback(self._working.discard)
            else:
                self._free.release()

    def drain(self, limit_s: float) -> None:
        """Wait for the running batches, up to `limit_s` seconds altogether."""
        wait(list(self._working), limit_s)

    def _receive_batch(self) -> list[Message]:
        """Return a batch: full, or with what came within the batch window after its first message."""
        batch = self._receive_once(LONG_POLL_S, self._source.batch_size)
        closes = time.monotonic() + self._source.batch_window_s
        while batch and len(batch) < self._source.batch_size and (left := closes - time.monotonic()) > 0:
            more = self._receive_once(0, self._source.batch_size - len(batch))
            batch += more
            if not more:
                self._stop.wait(min(left, 1.0))
        return batch

    def _receive_once(self, wait_s: int, wanted: int) -> list[Message]:
        answer = self._sqs.receive_message(
            QueueUrl=self._source.queue_url,
            MaxNumberOfMessages=min(wanted, BATCH_OF_ONE_CALL),
            WaitTimeSeconds=wait_s,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [dict(message) for message in answer.get("Messages", [])]

    def _handle_batch(self, batch: list[Message]) -> None:
        try:
            done = self._list_handled(batch)
            for start in range(0, len(done), BATCH_OF_ONE_CALL):
                self._delete_messages(done[start : start + BATCH_OF_ONE_CALL])
        except (OSError, BotoCoreError, ClientError) as error:
            log.warning("%s: batch left for its visibility timeout: %s", self._arn, type(error).__name__)
        finally:
            self._free.release()

    def _list_handled(self, batch: list[Message]) -> list[Message]:
        """Return the messages that the function has handled; the others wait for their visibility timeout."""
        event = build_sqs_event(batch, self._arn)
        trace_id = find_longest_chain(message.get("Attributes", {}).get("AWSTraceHeader", "") for message in batch)
        deadline = time.monotonic() + THROTTLED_LIMIT_S
        answer = self._invoke(self._source.function, event, trace_id=trace_id)
        while answer.is_throttled and time.monotonic() < deadline and not self._stop.wait(THROTTLED_PAUSE_S):
            answer = self._invoke(self._source.function, event, trace_id=trace_id)
        if not answer.has_succeeded:
            return []
        ids = {message["MessageId"] for message in batch}
        failed = list_failed_ids(answer.payload, ids) if self._source.partial_failures else set()
        return [message for message in batch if message["MessageId"] not in failed]

    def _delete_messages(self, messages: list[Message]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        self._sqs.delete_message_batch(QueueUrl=self._source.queue_url, Entries=entries)  # type: ignore[arg-type]
