"""The check of a stored file against its announcement: size, type and first bytes."""

import codecs
from typing import Literal

from claims.model import ContentType

Mismatch = Literal["size", "content_type", "first_bytes"]

# The explanation that the owner of a rejected document gets.
MISMATCHES: dict[Mismatch, str] = {
    "size": "Its size is not the one that was announced; announce it again with its size in bytes.",
    "content_type": "It was stored under another type than announced; upload it with the form's fields as they are.",
    "first_bytes": "Its first bytes are not those of the announced type; announce it under its own type.",
}

# The signatures of the formats: (offset, bytes), all of which must be present.
_MARKS: dict[ContentType, tuple[tuple[int, bytes], ...]] = {
    "image/jpeg": ((0, b"\xff\xd8\xff"),),
    "image/png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "image/webp": ((0, b"RIFF"), (8, b"WEBP")),
}

# Readers look for a PDF's header in the first bytes (ISO 32000-1, annex H, note 13): scanners and mail programs put a
# byte order mark, blank lines or a header of their own before it.
PDF_HEADER_WITHIN = 1024
_PDF = b"%PDF-"
# A file that begins like this is not a PDF, even with a PDF's header further on: pictures, programs, archives, HTML.
_BEGINNINGS_OF_OTHER_TYPES = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"MZ", b"\x7fELF", b"#!", b"PK\x03\x04", b"\x1f\x8b", b"Rar!"),
    *(b"7z\xbc\xaf", b"\xd0\xcf\x11\xe0", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"<"),
)

# A byte order mark names the encoding of a text; without one it is UTF-8. UTF-32's mark begins with UTF-16's, so it is
# tried first.
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
# Characters that no text contains, and that every program, archive and picture has near its beginning (the binary data
# bytes of the WHATWG's MIME sniffing standard).
_BINARY = frozenset(map(chr, (*range(0x09), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20))))


def is_of_type(content_type: ContentType, head: bytes, *, whole: bool) -> bool:
    """Return whether a file that begins with `head` can be of the type; `whole` means that `head` is the whole file."""
    if content_type == "text/plain":
        return _is_text(head, whole=whole)
    if content_type == "application/pdf":
        return _is_pdf(head)
    return all(head[at : at + len(mark)] == mark for at, mark in _MARKS[content_type])


def _is_pdf(head: bytes) -> bool:
    begins = head.removeprefix(codecs.BOM_UTF8).lstrip()
    return _PDF in head[:PDF_HEADER_WITHIN] and not begins.startswith(_BEGINNINGS_OF_OTHER_TYPES)


def _is_text(head: bytes, *, whole: bool) -> bool:
    text = _decode_text(head, whole=whole)
    return text is not None and _BINARY.isdisjoint(text) and not text.startswith(_PDF.decode())


def _decode_text(head: bytes, *, whole: bool) -> str | None:
    encoding = next((name for mark, name in _ENCODINGS if head.startswith(mark)), "utf-8")
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head, final=whole)  # the last one may be incomplete
    except UnicodeDecodeError:
        return None
