"""A fake of the relay's queue that counts wake-ups."""

from collections.abc import Collection
from uuid import UUID


class FakeRelayWaker:
    """Stands for the queues in tests that only ask whether the relay was woken."""

    def __init__(self) -> None:
        self.count = 0
        self.named: list[frozenset[UUID]] = []

    def wake_relay(self, *, delay_s: float = 0, hops: int = 0, jobs: Collection[UUID] = ()) -> bool:
        """Count the call. See `wake_relay` in shared/aws/sqs.py."""
        self.count += 1
        self.named.append(frozenset(jobs))
        return delay_s >= 0
