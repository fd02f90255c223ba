"""A fake of the relay's queue that counts wake-ups."""


class FakeRelayWaker:
    """Stands for the queues in tests that only ask whether the relay was woken."""

    def __init__(self) -> None:
        self.count = 0

    def wake_relay(self, *, delay_s: float = 0, hops: int = 0) -> bool:
        """Count the call. See `wake_relay` in shared/aws/sqs.py."""
        self.count += 1
        return delay_s >= 0
