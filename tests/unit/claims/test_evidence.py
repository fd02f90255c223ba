"""What a file begins with says what it is."""

import itertools
from typing import get_args

import pytest

from claims.evidence import looks_like
from claims.model import ContentType

TYPES = get_args(ContentType)
SAMPLES: dict[ContentType, bytes] = {
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "application/pdf": b"%PDF-1.7\n1 0 obj\n",
    "text/plain": "Ndihmë, помош, 帮助\r\n\tfund\n".encode(),
}


@pytest.mark.parametrize(("announced", "actual"), list(itertools.product(TYPES, TYPES)))
def test_a_file_looks_like_what_it_is_and_like_nothing_else(announced: ContentType, actual: ContentType) -> None:
    """All pairs of the five types."""
    assert looks_like(announced, SAMPLES[actual], whole=True) is (announced == actual)


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize(
    "head",
    [
        b"MZ\x90\x00\x03",
        b"\x7fELF\x02\x01\x01\x00",
        b"PK\x03\x04\x14\x00",
        b"GIF89a\x01\x00\x01\x00",
        b"RIFF\x24\x00\x00\x00AVI LIST",
        b"\x1f\x8b\x08\x00\x00",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\x00\x00\x00\x18ftypmp42",
    ],
)
def test_what_is_none_of_the_five_looks_like_none(content_type: ContentType, head: bytes) -> None:
    """Programs, archives, other pictures, sound and video, old office files."""
    assert not looks_like(content_type, head, whole=True)


@pytest.mark.parametrize("content_type", [t for t in TYPES if t != "text/plain"])
def test_a_mark_that_is_cut_short_is_none(content_type: ContentType) -> None:
    """One byte of it missing, or nothing there at all."""
    length = {"image/jpeg": 3, "image/png": 8, "image/webp": 12, "application/pdf": 5}[content_type]
    assert looks_like(content_type, SAMPLES[content_type][:length], whole=True)
    assert not looks_like(content_type, SAMPLES[content_type][: length - 1], whole=True)
    assert not looks_like(content_type, b"", whole=True)


@pytest.mark.parametrize(
    ("head", "whole", "text"),
    [
        ("ë".encode() * 256, False, True),
        (b"x" + "ë".encode() * 256, False, True),
        ((b"x" + "ë".encode() * 256)[:512], False, True),
        ((b"x" + "ë".encode() * 256)[:512], True, False),
        (b"fund \xff", False, False),
        (b"fund \xff", True, False),
        (b"a\x00b", True, False),
        (b"\xef\xbb\xbfme BOM", True, True),
    ],
)
def test_text_is_utf_8_that_only_our_own_cut_may_break(head: bytes, whole: bool, text: bool) -> None:
    """A last character cut by reading 512 bytes is well; one that the file itself breaks off is not."""
    assert looks_like("text/plain", head, whole=whole) is text
