"""Lost writes: acknowledged before a disaster, absent from the restored database; and what operators learn of each.

If a record has neither an answer nor the facts of one, the relay had not kept its answer yet: the write was begun, and
was acknowledged unless the call died.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.aws.dynamodb_taken_keys import TakenKey
from shared.ids import parse_id

# The sequence of each prefix of a number, like MEM-2026-000123.
SEQUENCES: Mapping[str, str] = {"MEM": "member_numbers", "CLM": "claim_numbers", "PAY": "payout_numbers"}
# Numbers of writes whose answers were lost may have gone out by mail, so more are skipped than answers show.
SKIPPED_NUMBERS = 1000
FIRST_REFUSAL = 400

_NUMBER = re.compile(r"([A-Z]{3})-[0-9]{4}-([0-9]{6,})")


@dataclass(frozen=True, slots=True)
class LostWrite:
    """A write that is absent, and was acknowledged, or may have been (`TakenKey.is_known_answered`).

    `fields` name it to operators and hold no personal data.
    """

    key: TakenKey
    subject_id: UUID | None
    number: str | None

    @classmethod
    def from_key(cls, key: TakenKey) -> "LostWrite":
        """Return the lost write of a key, with what its answer told: the record's id and number."""
        body = _read_body(key)
        return cls(key, _read_id(body.get("id")) or _find_path_subject(key), _read_number(body.get("number")))

    @property
    def fields(self) -> dict[str, Any]:
        """Return the write as operators see it.

        `key` is the hash of the client's key and its scope, `ids` are those of the path. What the record does not hold
        is None.
        """
        origin, answer = self.key.origin, self.key.answer
        return {
            "key": self.key.record,
            "operation": origin.operation if origin else None,
            "request_id": origin.request_id if origin else None,
            "ids": list(origin.ids) if origin else None,
            "answered_at": format_time(self.key.answered_at),
            "is_known_answered": self.key.is_known_answered,
            "status": answer.status if answer else origin.status if origin and self.key.facts is not None else None,
            "subject_id": str(self.subject_id) if self.subject_id else None,
            "number": self.number,
        }


def is_refusal(key: TakenKey) -> bool:
    """Return whether the call was refused, so that nothing was written."""
    return key.answer is not None and key.answer.status >= FIRST_REFUSAL


def find_last_numbers(writes: Iterable[LostWrite]) -> dict[str, int]:
    """Return for each sequence the largest of the numbers that the writes were answered with."""
    last: dict[str, int] = {}
    for number in (write.number for write in writes if write.number):
        found = _NUMBER.fullmatch(number)
        if found and (sequence := SEQUENCES.get(found[1])):
            last[sequence] = max(last.get(sequence, 0), int(found[2]))
    return last


def format_time(moment: datetime) -> str:
    """Return a moment in RFC 3339, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_body(key: TakenKey) -> Mapping[str, Any]:
    try:
        body = json.loads(key.answer.body) if key.answer else key.facts
    except ValueError:  # an answer without content, as to a removed document
        return {}
    return body if isinstance(body, Mapping) else {}


def _read_id(value: Any) -> UUID | None:
    try:
        return parse_id(value)
    except ValueError:
        return None


def _find_path_subject(key: TakenKey) -> UUID | None:
    return _read_id(key.origin.ids[-1]) if key.origin and key.origin.ids else None


def _read_number(value: Any) -> str | None:
    return value if isinstance(value, str) and _NUMBER.fullmatch(value) else None
