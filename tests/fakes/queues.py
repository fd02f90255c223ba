"""Queues in memory."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from shared.aws.queues import MAX_DELAY_S


class FakeQueues:
    """Keeps what was published and nudged; `broken` makes SQS unreachable, `drops` loses single ids."""

    def __init__(self) -> None:
        self.published: dict[str, list[UUID]] = defaultdict(list)
        self.nudges: list[float] = []
        self.broken = False
        self.drops: set[UUID] = set()

    def publish(self, priority: str, job_ids: Sequence[UUID]) -> frozenset[UUID]:
        if self.broken:
            return frozenset()
        sent = [job_id for job_id in job_ids if job_id not in self.drops]
        self.published[priority].extend(sent)
        return frozenset(sent)

    def nudge(self, *, delay_s: float = 0) -> bool:
        if self.broken:
            return False
        self.nudges.append(min(max(round(delay_s), 0), MAX_DELAY_S))
        return True
