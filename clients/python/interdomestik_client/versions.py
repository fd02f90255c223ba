"""The versions of records that a client has seen, for If-Match."""

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import urlsplit

# Calls that need If-Match: the method, the path below the base, and the part of it that names the record.
_CHANGES = (
    ("PATCH", re.compile(r"(/agents/[^/]+)")),
    ("PATCH", re.compile(r"(/members/[^/]+)")),
    ("POST", re.compile(r"(/claims/[^/]+)/transitions")),
    ("PUT", re.compile(r"(/claims/[^/]+)/assignee")),
)
_MOST_KEPT = 1000  # records; the one that was used longest ago is forgotten


def find_changed_record(method: str, path: str) -> str | None:
    """Return the path of the record that a call changes on a condition, None for any other call."""
    for changing, pattern in _CHANGES:
        if method == changing and (found := pattern.fullmatch(path)):
            return found[1]
    return None


@dataclass
class SeenVersions:
    """ETags by the path of their record; safe for use by several threads."""

    _tags: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def find(self, method: str, path: str) -> str | None:
        """Return the ETag on which a call's change is based; None if the call has none, or nothing was seen."""
        record = find_changed_record(method, path)
        with self._lock:
            return self._tags.get(record) if record else None

    def learn(self, method: str, path: str, tag: str | None, location: str | None) -> None:
        """Keep the ETag of an answer: that of the changed record, of a new one, or of the one that was read."""
        if tag is None:
            return
        created = urlsplit(location).path if location else None
        record = created or find_changed_record(method, path) or path
        with self._lock:
            self._tags[record] = tag
            self._tags.move_to_end(record)
            if len(self._tags) > _MOST_KEPT:
                self._tags.popitem(last=False)
