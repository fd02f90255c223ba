"""Formats of numbers and times, the same in all pages."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

from stress.model import Estimate, Latency, Percentile

A_MILLION = 1_000_000
SHORTENED = ((1e9, "G"), (1e6, "M"), (1e4, "k"))  # from which value on a tick is written shorter, and how


def format_number(value: float) -> str:
    """Return three significant digits, whole above a hundred: 0.0113, 12.3, 1,235."""
    if not math.isfinite(value):
        return "∞" if value == math.inf else "none"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".")


def format_tick(value: float) -> str:
    """Return a number as short as an axis needs it: 5,000, 20k, 1.5M, 5e-5."""
    for least, suffix in SHORTENED:
        if abs(value) >= least:
            return f"{format_number(value / (1e3 if suffix == 'k' else least))}{suffix}"
    if 0 < abs(value) < 0.001:
        return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-")
    return format_number(value)


def format_count(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural if it isn't one: 1 call, 1,600 calls."""
    return f"{format_number(count)} {noun}{'s' * (count != 1)}"


def format_estimate(estimate: Estimate, unit: str = "") -> str:
    """Return a value with its interval: 212 ms (198 to 231)."""
    value = f"{format_number(estimate.value)} {unit}".rstrip()
    return f"{value} ({format_interval(estimate.low, estimate.high)})"


def split_interval(text: str) -> Markup:
    """Return a value with its interval in small print below it; any other text as it is."""
    value, _, interval = text.removesuffix(")").partition(" (")
    if not interval or not text.endswith(")"):
        return escape(text)
    return Markup("{} <small>{}</small>").format(value, interval)


def format_interval(low: float, high: float) -> str:
    """Return the ends of an interval: 198 to 231; at least 26, if it has no upper end."""
    if high == math.inf:
        return f"at least {format_number(low)}"
    return f"{format_number(low)} to {format_number(high)}"


def format_share(events: int, estimate: Estimate) -> str:
    """Return a share with its interval: 3 of 1,200: 0.25 % (0.0516 to 0.729); 0 of 10,670: below 0.03 %.

    A bound beyond which nothing was seen is rounded away from what was seen, to one digit.
    """
    counted = f"{events:,} of {estimate.samples:,}"
    if not events:
        return f"{counted}: below {format_number(_round_up(100 * estimate.high))} %"
    if events == estimate.samples:
        return f"{counted}: above {format_number(100 - _round_up(100 * (1 - estimate.low)))} %"
    ends = format_interval(100 * estimate.low, 100 * estimate.high)
    return f"{counted}: {format_number(100 * estimate.value)} % ({ends})"


def format_percentile(latency: Latency, name: Percentile) -> str:
    """Return a percentile with its interval: 212 (198 to 231); a dash if there are too few calls for it."""
    value, ends = getattr(latency, name), latency.intervals.get(name)
    if value is None:
        return "–"
    return f"{format_number(value)} ({format_interval(*ends)})" if ends else format_number(value)


def format_more(count: int) -> str:
    """Return how many samples more decide a check: 705 samples more. Beyond a million the bar is where the value is."""
    if count > A_MILLION:
        return "no number of samples that a run can have"
    return f"{count:,} sample{'s' * (count != 1)} more"


def _round_up(value: float) -> float:
    """Return the next number of one digit."""
    unit = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return round(math.ceil(value / unit - 1e-9) * unit, 12)


def format_clock(seconds: float) -> str:
    """Return a time since the run began, as 0:07, 12:30 or 1:02:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_duration(seconds: float) -> str:
    """Return a length of time, as 8.2 s or 4 min 10 s."""
    if seconds < 60:
        return f"{format_number(round(seconds, 1))} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def join_names(names: list[str]) -> str:
    """Return names as part of a sentence: a; a and b; a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def format_moment(written: str) -> str:
    """Return an ISO 8601 time as 25 November 2026, 08:14 UTC; any other text unchanged."""
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        return written
    return f"{at.day} {at:%B %Y, %H:%M} {at.tzname() or ''}".rstrip()


def flatten_setting(value: Any) -> str:
    """Return a setting as text: nested ones as `name value` pairs."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {flatten_setting(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(flatten_setting(inner) for inner in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return str(value)
