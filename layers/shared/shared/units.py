"""Units of time that are counted exactly: whole microseconds since the epoch."""

from datetime import UTC, datetime, timedelta

SECOND = 1_000_000  # microseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def convert_from_epoch_micros(micros: int) -> datetime:
    """Return the time, in UTC, of a number of microseconds since the epoch."""
    return _EPOCH + micros * _MICROSECOND


def convert_to_epoch_micros(moment: datetime) -> int:
    """Return the microseconds since the epoch of an aware datetime: exact, where a float of seconds would round."""
    return (moment - _EPOCH) // _MICROSECOND
