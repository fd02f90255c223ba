"""The Idempotency-Key field: a structured string (draft-ietf-httpapi-idempotency-key-header-07), or the bare value."""

import re

from shared.errors import Refusal

MAX_KEY_LENGTH = 255

# RFC 9651: a String, then parameters, which mean nothing here.
_STRING = r'"((?:[ !#-\[\]-~]|\\["\\])*)"'
_BARE_ITEM = r'(?:"(?:[ !#-\[\]-~]|\\["\\])*"|[^\s";,]+)'
_FIELD = re.compile(rf"{_STRING}(?:; *[a-z*][a-z0-9_.*-]*(?:={_BARE_ITEM})?)*")

# Both forms, for the API's description.
PATTERN = rf'^([!#-~][!-~]{{0,{MAX_KEY_LENGTH - 1}}}|"([!#-\[\]-~]|\\["\\]){{1,{MAX_KEY_LENGTH}}}")$'


def read_key(field: str) -> str:
    """Return the key that a field names: `"k"`, `k` and `"k";v=1` are one.

    Raises Refusal("idempotency-key-malformed") unless it is 1 to 255 visible ASCII characters.
    """
    field = field.strip(" \t")
    key = _unquote(field) if field.startswith('"') else field
    if key is None or not 1 <= len(key) <= MAX_KEY_LENGTH or not all("!" <= c <= "~" for c in key):
        raise Refusal("idempotency-key-malformed")
    return key


def _unquote(field: str) -> str | None:
    found = _FIELD.fullmatch(field)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else None
