"""Time, passed in wherever it matters so that tests can hold it still."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo

Clock = Callable[[], datetime]

# Members fill in dates by their own clocks: all three countries keep Central European (Summer) Time.
LATEST_LOCAL_OFFSET = timedelta(hours=2)


def utc_now() -> datetime:
    """The time now, aware, in UTC."""
    return datetime.now(UTC)


def latest_local_date(now: datetime) -> date:
    """The date of the member whose day began first: no incident can have happened after it."""
    return (now + LATEST_LOCAL_OFFSET).date()


def local_date(now: datetime, zone: tzinfo) -> date:
    """Return the calendar day that `now`, an aware time, falls on in `zone`."""
    return now.astimezone(zone).date()


def epoch_micros() -> int:
    """The time now, in whole microseconds since the epoch."""
    return time.time_ns() // 1000


def monotonic() -> float:
    """Seconds on a clock that never goes back."""
    return time.monotonic()
