"""A clock that stands still until a test advances it."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    """Pass it where a Clock is asked for; `advance` and `advance_micros` change it."""

    def __init__(self, start: datetime = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)) -> None:
        self._now = start

    def __call__(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Advance by seconds, rounded to a microsecond."""
        self.advance_micros(round(seconds * 1_000_000))

    def advance_micros(self, micros: int) -> None:
        """Advance by microseconds."""
        self._now += timedelta(microseconds=micros)
