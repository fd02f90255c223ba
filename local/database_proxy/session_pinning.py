"""Statements that pin a session to its server connection in RDS Proxy for PostgreSQL.

Source: Amazon Aurora User Guide, "Avoiding pinning an RDS Proxy": statements over 16 KB; SET and set_config; PREPARE,
EXECUTE, DEALLOCATE, DISCARD; temporary tables, views and sequences; cursors; LISTEN; loading a library; sequence
functions; advisory locks of the session (those of the transaction do not pin). Named statements and portals of the
extended protocol are assumed to pin too, as they leave the same state behind. LOCK TABLE is not in the list: it ends
with its transaction.
"""

import re
from functools import lru_cache

from local.database_proxy.framing import ProtocolError, ProtocolMessage

LONGEST_STATEMENT = 16 * 1024  # bytes of text

# Text in which a keyword does not count: strings, quoted names, dollar quotes, comments.
_QUOTED = re.compile(
    rb"""(?isx) e'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (\$(?:[a-z_]\w*)?\$).*?\1
         | --[^\n]* | /\*.*?\*/"""
)
_FIRST_WORDS = re.compile(rb"(?i)\A\s*(set|reset|prepare|execute|deallocate|discard|declare|listen|unlisten|load)\b")
_TEMPORARY = re.compile(rb"(?i)\b(?:create\s+(?:or\s+replace\s+)?(?:(?:global|local)\s+)?|into\s+)temp(?:orary)?\b")
_FUNCTIONS = re.compile(rb"(?i)\b(set_config|nextval|setval|currval|lastval|pg_(?:try_)?advisory_(?:un)?lock\w*)\s*\(")


def find_pin_reason(message: ProtocolMessage) -> str | None:
    """Return why a client's message pins its session, None if it does not; never with values of the statement.

    Raise ProtocolError.
    """
    if message.kind == b"Q":
        return find_statement_pin(message.body.rstrip(b"\0"))
    if message.kind == b"P":
        if message.body.count(b"\0") < 2:
            raise ProtocolError("a Parse without a statement")
        name, text, _ = message.body.split(b"\0", 2)
        return "named statement" if name else find_statement_pin(text)
    if message.kind == b"B" and not message.body.startswith(b"\0"):
        return "named portal"
    return None


@lru_cache(maxsize=4096)
def find_statement_pin(text: bytes) -> str | None:
    """Return why a text of one or more statements pins, None if it does not."""
    if len(text) > LONGEST_STATEMENT:
        return "statement over 16 KB"
    bare = _QUOTED.sub(b" ", text)
    for statement in bare.split(b";"):
        if found := _FIRST_WORDS.search(statement):
            return found[1].decode().upper()
    if _TEMPORARY.search(bare):
        return "temporary object"
    called = _FUNCTIONS.search(bare)
    return called[1].decode().lower() + "()" if called else None
