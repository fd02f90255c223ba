"""The reader of a history's file, which refuses one that is not whole."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from judge.history.model import (
    AuditFact,
    ClockReading,
    HistoryCall,
    JobFact,
    KeyFact,
    LoggedCommit,
    MailFact,
    PromisedEffect,
    PromisedLimit,
    RecordedHistory,
    RowFact,
)

FILE = "history.jsonl.gz"
FORMAT = 1
# Of each type of line: the list that holds it, and what makes one.
PLACES: Mapping[str, tuple[str, Callable[..., object]]] = {
    "call": ("calls", HistoryCall),
    "limit": ("limits", PromisedLimit),
    "effect": ("effects", PromisedEffect),
    "commit": ("commits", LoggedCommit),
    "audit": ("audits", AuditFact),
    "key": ("keys", KeyFact),
    "row": ("rows", RowFact),
    "job": ("jobs", JobFact),
    "mail": ("mails", MailFact),
    "clock": ("clock", ClockReading),
}


class UnreadableHistory(Exception):
    """The file is no whole history; the message says why."""


def read_history(path: Path) -> RecordedHistory:
    """Return the history of a file. Raise UnreadableHistory."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return parse_lines(file)
    except (OSError, EOFError, ValueError, TypeError, KeyError) as error:
        raise UnreadableHistory(f"{path}: {type(error).__name__}: {error}") from error


def parse_lines(lines: Iterable[str]) -> RecordedHistory:
    """Return the history of its lines. Raise UnreadableHistory, ValueError, TypeError, KeyError."""
    history, counts, end = RecordedHistory(), Counter[str](), None
    for number, line in enumerate(lines):
        fields = json.loads(line)
        kind = fields.pop("type")
        if number == 0:
            if (kind, fields.get("format")) != ("history", FORMAT):
                raise UnreadableHistory(f"the first line is not of a history in format {FORMAT}")
        elif end is not None:
            raise UnreadableHistory("lines after the last one")
        elif kind == "end":
            end = fields
        else:
            place, make = PLACES[kind]
            getattr(history, place).append(make(**_freeze(fields)))
            counts[kind] += 1
    if end is None or end.get("lines") != dict(sorted(counts.items())):
        raise UnreadableHistory(f"its last line does not count what is there: {dict(sorted(counts.items()))}")
    return history


def _freeze(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with tuples in place of lists."""
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = tuple(tuple(each) if isinstance(each, list) else each for each in value)
    return fields
