"""Taken keys and listings in memory, for the operators' command after a restore."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

from shared.admission.ports import KeyOrigin, StoredAnswer
from shared.aws.dynamodb_taken_keys import TakenKey
from shared.aws.errors import ServiceUnavailable
from shared.aws.listings import ListedItem
from shared.clock import read_utc_now

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@dataclass
class ListedKeys:
    """Keys in pages; `failing` is the page that can't be read."""

    pages: Sequence[Sequence[TakenKey]]
    failing: int | None = None
    deleted: list[str] = field(default_factory=list)

    def read_page(self, after: str | None) -> tuple[list[TakenKey], str | None]:
        """Return a page, and the number of the next one."""
        n = int(after or 0)
        if n == self.failing:
            raise ServiceUnavailable("Throttled")
        found = [key for key in self.pages[n] if key.record not in self.deleted]
        return found, str(n + 1) if n + 1 < len(self.pages) else None

    def delete(self, key: TakenKey) -> bool:
        """Note the key."""
        self.deleted.append(key.record)
        return True


class NothingListed:
    """An empty bucket or pool."""

    def read_page(self, since: datetime, after: str | None) -> tuple[list[ListedItem], str | None]:
        """Return nothing."""
        return [], None

    def copy(self, key: str, to: str) -> bool:
        """Find nothing to copy."""
        return False


@dataclass(frozen=True)
class ListedObjects:
    """A bucket with these objects, all stored now."""

    names: Sequence[str]

    def read_page(self, since: datetime, after: str | None) -> tuple[list[ListedItem], str | None]:
        """Return all of them."""
        return [ListedItem(name, read_utc_now()) for name in self.names], None

    def copy(self, key: str, to: str) -> bool:
        """Return whether the object is there."""
        return key in self.names


def make_key(*, ago: timedelta = MINUTE, status: int = 201, key: str | None = None, **changes: Any) -> TakenKey:
    """Return a key that was answered the time `ago`."""
    key = key or uuid4().hex
    body = f'{{"id": "{uuid4()}", "email": "besa@example.test"}}'
    made = TakenKey(
        sha256(f"scope\0{key}".encode()).hexdigest(),
        "token",
        read_utc_now() - ago,
        KeyOrigin("POST /claims", f"request-{key}"),
        StoredAnswer(status, {}, body),
    )
    return replace(made, **changes)
