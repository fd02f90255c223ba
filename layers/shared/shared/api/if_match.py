"""The If-Match field (RFC 9110, 13.1.1), read as the versions that a change may be decided on."""

import re
from dataclasses import dataclass

from shared.errors import Refusal

# One element of the list, which may be empty, and what ends it; a tag may hold commas.
_ELEMENT = re.compile(r'[ \t]*((?:W/)?"[^\x00-\x20"\x7f]*")?[ \t]*(?:,|$)')
_OURS = re.compile(r'"([1-9][0-9]{0,8})"')

WEAK_TAG = (
    "If-Match compares strongly, so a weak tag (W/…) matches nothing: a proxy may have made it of ours. "
    "Read the record again, and send its version as a strong tag, with a new Idempotency-Key."
)


@dataclass(frozen=True, slots=True)
class IfMatch:
    """The versions that a change may be decided on.

    `versions` are those that a listed tag names, None any (`*`). A tag that is not ours names none. `canonical` is
    the same for all spellings of a field. `is_weak` says that a weak tag was listed, which never matches.
    """

    versions: tuple[int, ...] | None
    canonical: str
    is_weak: bool = False


def read_if_match(field: str) -> IfMatch:
    """Return what a field says. Raises Refusal("malformed-request") where it is neither `*` nor a list of tags."""
    if field.strip(" \t") == "*":
        return IfMatch(None, "*")
    tags = sorted(set(_read_tags(field)))
    found = [_OURS.fullmatch(tag) for tag in tags]
    versions = tuple(sorted(int(match[1]) for match in found if match))
    return IfMatch(versions, ", ".join(tags), is_weak=any(tag.startswith("W/") for tag in tags))


def _read_tags(field: str) -> list[str]:
    tags: list[str] = []
    at = 0
    while at < len(field):
        element = _ELEMENT.match(field, at)
        if element is None:
            raise _malformed()
        tags += [element[1]] if element[1] else []
        at = element.end()
    if not tags:
        raise _malformed()
    return tags


def _malformed() -> Refusal:
    return Refusal("malformed-request", detail='If-Match is * or a list of ETags, each in quotes, like "3".')
