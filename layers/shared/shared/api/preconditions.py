"""The If-Match field: the versions of a record on which a change was decided."""

import re

from shared.api.call import IfMatch
from shared.errors import FieldError, Refusal

# One element of the list, which may be empty, and what ends it; a tag may hold commas.
_ELEMENT = re.compile(r'[ \t]*((?:W/)?"[^\x00-\x20"\x7f]*")?[ \t]*(?:,|$)')
_OURS = re.compile(r'"([1-9][0-9]{0,8})"')


def read_if_match(field: str) -> IfMatch:
    """Return the versions that an If-Match field (RFC 9110, 13.1.1) names.

    Raise Refusal("malformed-request") if it is neither `*` nor a list of tags.
    """
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
            raise _make_if_match_refusal()
        tags += [element[1]] if element[1] else []
        at = element.end()
    if not tags:
        raise _make_if_match_refusal()
    return tags


def _make_if_match_refusal() -> Refusal:
    detail = 'If-Match is * or a list of ETags, each in quotes, like "3".'
    return Refusal("malformed-request", detail=detail, errors=(FieldError("If-Match", "is no list of ETags"),))
