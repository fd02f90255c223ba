"""Ids generated here, so that no statement has to wait for another one's RETURNING."""

import os
import time
from uuid import UUID

# Crockford's base32: without I, L, O and U, so that codes survive being read aloud or copied by hand.
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


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


def make_crockford_code(length: int) -> str:
    """Return `length` random characters of Crockford's base32."""
    return "".join(CROCKFORD[byte & 31] for byte in os.urandom(length))
