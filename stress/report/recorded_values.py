"""Recorded values in plain words: scenarios write lists and counts as Python does, a page as a reader would."""

import ast
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

STATUSES = range(100, 600)  # of HTTP
NOTHING = "none"


def write_plainly(text: str) -> str:
    """Return a recorded value in words: counts by status, and [] as none; a text that is no such value unchanged."""
    if text[:1] not in ("{", "[", "("):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return _write_value(value)


def mark_recorded(text: str) -> Markup:
    """Return a value in words; if they differ from what was recorded, that is its title."""
    plain = write_plainly(text)
    if plain == text:
        return escape(text)
    return Markup('<span title="as recorded: {}">{}</span>').format(text, plain)


def _write_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "" or (isinstance(value, (Mapping, list, tuple, set)) and not value):
        return NOTHING
    if isinstance(value, Mapping):
        is_counted = all(type(name) is int and name in STATUSES and type(count) is int for name, count in value.items())
        pairs = [
            f"{count:,} × {name}" if is_counted else f"{name} {_write_value(count)}" for name, count in value.items()
        ]
        return ", ".join(pairs)
    if isinstance(value, list | tuple | set):
        return ", ".join(map(_write_value, value))
    return str(value)
