"""Whether a stored file is what was announced: its size, the type it was stored under, and how it begins."""

import codecs

from claims.model import ContentType

# The file formats' own marks: (offset, bytes), all of which must be there.
_MARKS: dict[ContentType, tuple[tuple[int, bytes], ...]] = {
    "image/jpeg": ((0, b"\xff\xd8\xff"),),
    "image/png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "image/webp": ((0, b"RIFF"), (8, b"WEBP")),
    "application/pdf": ((0, b"%PDF-"),),
}

# Plain text has no mark; it has no NUL, and none of the marks of something else.
_NEVER_TEXT = (b"\xff\xd8\xff", b"\x89PNG", b"%PDF-", b"MZ", b"\x7fELF", b"PK\x03\x04", b"GIF8")


def looks_like(content_type: ContentType, head: bytes, *, whole: bool) -> bool:
    """Whether a file that begins with `head` can be of the type; `whole` says that there is no more of it."""
    if content_type == "text/plain":
        return not head.startswith(_NEVER_TEXT) and b"\0" not in head and _is_utf8(head, whole=whole)
    return all(head[at : at + len(mark)] == mark for at, mark in _MARKS[content_type])


def _is_utf8(head: bytes, *, whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)  # else the last character may be cut
    except UnicodeDecodeError:
        return False
    return True
