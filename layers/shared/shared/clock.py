"""Time, passed in wherever it matters so that tests can hold it still."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo

Clock = Callable[[], datetime]

# Members fill in dates by the clock of where they are: the day begins first at UTC+14 (Line Islands).
LATEST_LOCAL_OFFSET = timedelta(hours=14)


def read_utc_now() -> datetime:
    """The time now, aware, in UTC."""
    return datetime.now(UTC)


def compute_latest_local_date(now: datetime) -> date:
    """Return the date where the day began first: no incident can have happened after it."""
    return (now + LATEST_LOCAL_OFFSET).date()


def convert_to_local_date(now: datetime, zone: tzinfo) -> date:
    """Return the calendar day that `now`, an aware time, falls on in `zone`."""
    return now.astimezone(zone).date()


def read_epoch_micros() -> int:
    """The time now, in whole microseconds since the epoch."""
    return time.time_ns() // 1000


def read_monotonic() -> float:
    """Seconds on a clock that never goes back."""
    return time.monotonic()
