"""A file's first bytes say what type it is."""

import itertools
from typing import get_args

import pytest

from claims.file_types import is_of_type
from claims.model import ContentType
from shared.aws.s3 import MAGIC_BYTES

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
    assert is_of_type(announced, SAMPLES[actual], whole=True) is (announced == actual)


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
def test_content_of_another_format_is_of_none_of_the_five_types(content_type: ContentType, head: bytes) -> None:
    """Programs, archives, other pictures, sound and video, old office files."""
    assert not is_of_type(content_type, head, whole=True)


@pytest.mark.parametrize("content_type", [t for t in TYPES if t != "text/plain"])
def test_a_mark_that_is_cut_short_is_none(content_type: ContentType) -> None:
    """One byte of it is missing, or all of them."""
    length = {"image/jpeg": 3, "image/png": 8, "image/webp": 12, "application/pdf": 5}[content_type]
    assert is_of_type(content_type, SAMPLES[content_type][:length], whole=True)
    assert not is_of_type(content_type, SAMPLES[content_type][: length - 1], whole=True)
    assert not is_of_type(content_type, b"", whole=True)


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
    assert is_of_type("text/plain", head, whole=whole) is text


@pytest.mark.parametrize(
    ("before", "pdf"),
    [
        (b"\xef\xbb\xbf", True),
        (b"\r\n\r\n", True),
        (b"%!PS-Adobe-3.0 PDF-1.4\n", True),
        (b"\x00" * 1019, True),
        (b"\x00" * 1020, False),
        (b"MIME-Version: 1.0\nContent-Type: application/pdf\n\n", True),
        (b"MZ\x90\x00", False),
        (b"PK\x03\x04", False),
        (b"\x89PNG\r\n\x1a\n", False),
        (b"\xff\xd8\xff\xe0", False),
        (b"\x7fELF\x02", False),
        (b"RIFF\x24\x00\x00\x00WEBP", False),
        (b"GIF89a", False),
        (b"\x1f\x8b\x08\x00", False),
        (b"Rar!\x1a\x07", False),
        (b"7z\xbc\xaf\x27\x1c", False),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", False),
        (b"\xca\xfe\xba\xbe\x00\x00\x00\x02", False),
        (b"\xcf\xfa\xed\xfe\x0c\x00", False),
        (b"#!/bin/sh\n", False),
        (b"<script>alert(1)</script>", False),
        (b"\xef\xbb\xbf \n<!doctype html>", False),
    ],
)
def test_a_pdfs_header_stands_within_its_first_1024_bytes(before: bytes, pdf: bool) -> None:
    """Readers look for it there, unless the file begins as another type."""
    assert is_of_type("application/pdf", (before + b"%PDF-1.7\n")[:MAGIC_BYTES], whole=False) is pdf


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("length", [0, 1, 7, 255, 256, 511, 512, 600])
def test_a_byte_order_mark_says_text(encoding: str, length: int) -> None:
    """The text is in the encoding that it names, even if our own cut goes through a character."""
    mark = "" if encoding in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff"
    content = (mark + "ë😀х" * length).encode(encoding)
    head = content[:MAGIC_BYTES]
    assert is_of_type("text/plain", head, whole=len(head) == len(content))


@pytest.mark.parametrize(
    "head",
    [
        "\ufeffa\x00b".encode("utf-16-le"),
        "\ufeffa\x01b".encode("utf-32-be"),
        b"\xff\xfe\x00\xd8a\x00",
        b"\xff\xfea",
        b"\xef\xbb\xbf\xff",
        b"\x00\x00\xfe\xff\x00\x11\x00\x00",
        "no mark".encode("utf-16-le"),
        b"\xff\xfb\x90\x64\x00",
    ],
)
def test_a_mark_alone_is_no_text(head: bytes) -> None:
    """Text in that encoding must follow, and no binary data."""
    assert not is_of_type("text/plain", head, whole=True)


@pytest.mark.parametrize(
    "text",
    [
        "MZ Trading sent me this",
        "PK 12 to Prizren",
        "GIF89a is no picture here",
        "RIFF",
        "BM",
        "\x7fELF?",
        "Rar!",
        "#! Fund",
    ],
)
def test_a_few_letters_are_no_proof(text: str) -> None:
    """Text may begin with what programs begin with; they go on with bytes that no text has."""
    assert is_of_type("text/plain", text.encode(), whole=True)


@pytest.mark.parametrize("control", [*range(9), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)])
def test_text_has_no_binary_data(control: int) -> None:
    """The WHATWG's list; tabs, line ends, form feeds and a terminal's escapes are text."""
    assert not is_of_type("text/plain", b"fund" + bytes([control]), whole=True)
    assert is_of_type("text/plain", b"a\tb\r\nc\x0cd\x1b[0m", whole=True)
