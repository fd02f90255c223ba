"""Ids generated here, so that no statement has to wait for another one's RETURNING."""

import os
import time
from uuid import UUID

# Crockford's base32: without I, L, O and U, so that codes survive being read aloud or copied by hand.
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_ID_CHARACTERS = frozenset("0123456789abcdefABCDEF-")


def make_uuid7() -> UUID:
    """Return a new UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 random bits; sorts by age."""
    stamp = (time.time_ns() // 1_000_000) & ((1 << 48) - 1)
    rand = int.from_bytes(os.urandom(10), "big")
    high, low = rand >> 68, rand & ((1 << 62) - 1)
    return UUID(int=(stamp << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low)


def parse_id(value: str) -> UUID:
    """Return the id that a text represents in its canonical form, in upper or lower case. Raise ValueError."""
    try:
        parsed = UUID(value)
    except (AttributeError, TypeError, ValueError):
        raise ValueError("not an id") from None
    if str(parsed) != value.lower():  # UUID() also takes braces, missing dashes and digits of other scripts
        raise ValueError("not an id")
    return parsed


def describe_id_fault(value: str) -> str:
    """Return what is wrong with a text that is not an id, without quoting it."""
    example = "an id has 36 characters, like 01a20ba6-afb6-76d1-9556-a703ff01d17a"
    if len(value) != 36:
        return f"it has {len(value):,}, and {example}"
    if not _ID_CHARACTERS.issuperset(value):
        return f"it has a character other than 0 to 9, a to f and dashes, and {example}"
    return f"its dashes stand in other places, and {example}"


def make_crockford_code(length: int) -> str:
    """Return `length` random characters of Crockford's base32."""
    return "".join(CROCKFORD[byte & 31] for byte in os.urandom(length))
