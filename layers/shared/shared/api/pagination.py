"""Lists: one page at a time, newest first, by an opaque cursor that only this service can make."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from shared.errors import FieldError, Refusal
from shared.fields.pagination import Page

T = TypeVar("T")

LAST_ID = UUID(int=(1 << 128) - 1)  # newer than any id: where the first page begins
_TAG_BYTES = 12


@dataclass(frozen=True, slots=True)
class CursorCodec:
    """The maker and reader of cursors: an id and a signature of the id and its list."""

    secret: str

    def _sign_cursor(self, listing: str, raw: bytes) -> bytes:
        return hmac.new(self.secret.encode(), listing.encode() + b"\0" + raw, hashlib.sha256).digest()[:_TAG_BYTES]

    def make(self, listing: str, last: UUID) -> str:
        """Return the cursor of the page that begins after `last`."""
        return base64.urlsafe_b64encode(last.bytes + self._sign_cursor(listing, last.bytes)).decode().rstrip("=")

    def read(self, listing: str, cursor: str | None) -> UUID:
        """Return the id after which the page begins.

        Raise Refusal for a cursor of another list, or one not made here.
        """
        if cursor is None:
            return LAST_ID
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError:
            raw = b""
        # Compare the whole text: base64 ignores the last bits of the last character.
        if len(raw) < 16 or not hmac.compare_digest(cursor, self.make(listing, last := UUID(bytes=raw[:16]))):
            raise Refusal("invalid-request", errors=(FieldError("cursor", "is not a cursor of this list"),))
        return last

    def build_page(
        self, listing: str, rows: list[dict[str, Any]], limit: int, view: Callable[[dict[str, Any]], T]
    ) -> Page[T]:
        """Return a page of rows (each has `id` and `facts`); one row more than `limit` was read."""
        shown = rows[:limit]
        more = self.make(listing, shown[-1]["id"]) if len(rows) > limit else None
        return Page(items=[view(row["facts"]) for row in shown], next_cursor=more)
