"""The relay's bell: counts how often it was rung."""


class FakeRelayWaker:
    """Stands for the queues where a test only asks whether the relay was told."""

    def __init__(self) -> None:
        self.count = 0

    def wake_relay(self, *, delay_s: float = 0) -> bool:
        """See Queues.nudge."""
        self.count += 1
        return delay_s >= 0
