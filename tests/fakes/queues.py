"""Queues in memory."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from uuid import UUID

from shared.aws.sqs import MAX_DELAY_S


class FakeJobQueues:
    """Keeps what was published and the wake-ups; `broken` makes SQS unreachable, `drops` loses single ids.

    `hops` has those of each call, in order. `shown_again` has the delays by receipt; one that is 0 is over at once.
    """

    def __init__(self) -> None:
        self.published: dict[str, list[UUID]] = defaultdict(list)
        self.wake_ups: list[float] = []
        self.hops: list[int] = []
        self.shown_again: dict[str, float] = {}
        self._hidden: dict[tuple[str, str], UUID] = {}
        self.broken = False
        self.drops: set[UUID] = set()

    def publish(self, priority: str, job_ids: Sequence[UUID], *, hops: int = 0) -> frozenset[UUID]:
        if self.broken:
            return frozenset()
        self.hops.append(hops)
        sent = [job_id for job_id in job_ids if job_id not in self.drops]
        self.published[priority].extend(sent)
        return frozenset(sent)

    def wake_relay(self, *, delay_s: float = 0, hops: int = 0, jobs: Collection[UUID] = ()) -> bool:
        if self.broken:
            return False
        self.hops.append(hops)
        self.wake_ups.append(min(max(round(delay_s), 0), MAX_DELAY_S))
        return True

    def delay_message(self, queue_arn: str, receipt: str, *, delay_s: float) -> bool:
        if self.broken or (self._hidden and (queue_arn, receipt) not in self._hidden):
            return False
        self.shown_again[receipt] = delay_s
        if delay_s == 0:
            self.published[queue_arn.rpartition(":")[2]].append(self._hidden.pop((queue_arn, receipt)))
        return True

    def take(self, priority: str) -> tuple[str, str]:
        """Receive a message, which hides it: its queue's ARN and its receipt."""
        job_id = self.published[priority].pop()
        self._hidden[f"arn:{priority}", str(job_id)] = job_id
        return f"arn:{priority}", str(job_id)
