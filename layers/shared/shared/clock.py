"""Time, passed in wherever it matters, so that tests can control it."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo

Clock = Callable[[], datetime]

# Members enter dates of their own time zone; the day begins first at UTC+14 (Line Islands).
LATEST_LOCAL_OFFSET = timedelta(hours=14)


def read_utc_now() -> datetime:
    """Return the current time as an aware datetime in UTC."""
    return datetime.now(UTC)


def compute_latest_local_date(now: datetime) -> date:
    """Return the date in the time zone where the day begins first; no incident can have happened after it."""
    return (now + LATEST_LOCAL_OFFSET).date()


def convert_to_local_date(now: datetime, zone: tzinfo) -> date:
    """Return the calendar date of `now`, an aware datetime, in `zone`."""
    return now.astimezone(zone).date()


def read_epoch_micros() -> int:
    """Return the current time in whole microseconds since the epoch."""
    return time.time_ns() // 1000


def read_monotonic() -> float:
    """Return the seconds of a clock that never goes back."""
    return time.monotonic()
