"""Internationalised domain names, turned into the ASCII form that the mail system uses (IDNA 2008, RFC 5891).

The standard library's own codec knows IDNA 2003, which turns "ß" into "ss", another domain. So its preparation
(RFC 3491) is used where both agree, and what IDNA 2008 keeps or forbids is checked here; see docs/decisions/0021.
"""

import re
import unicodedata
from encodings.idna import nameprep
from stringprep import in_table_a1

_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # UTS 46: what people type for the dot
_KEPT = re.compile("([\u00df\u03c2])")  # letters of their own in IDNA 2008, which the preparation would replace
# Refused: joiners, which are allowed by their surroundings only, and what IDNA 2003 takes and 2008 does not, namely
# parts of Korean syllables, marks around symbols, marks of tone, musical signs and compatibility ideographs.
_REFUSED = re.compile(
    "[\u200c\u200d\u1100-\u11ff\u17b4\u17b5\u1806\u20d0-\u20ff\u302a-\u302f\U0001d100-\U0001d1ff\U0002f800-\U0002fa1f]"
)
_LETTERS = {"Ll", "Lo", "Mn", "Mc"}  # RFC 5892, section 2.1, in lower case; other digits than ours can't be mixed
_MORE_LETTERS = "-0123456789\u3005\u30fc"
_MAX_LABEL = 63
_ACE = "xn--"


def ascii_domain(domain: str) -> str:
    """Return the domain in lower-case ASCII, each other label as punycode. Raises ValueError for what is no domain."""
    return ".".join(_ascii_label(label) for label in _DOTS.split(domain))


def _ascii_label(label: str) -> str:
    if label.isascii():
        return _checked_ascii(label.lower())
    prepared = _prepare(label.replace("\u1e9e", "\u00df"))  # the capital that the preparation does not know
    if _REFUSED.search(label + prepared):
        raise ValueError("a character that the standards treat differently")
    return _checked_ascii(prepared) if prepared.isascii() else _encode(prepared)


def _checked_ascii(label: str) -> str:
    """The label; one that claims to be punycode must be the punycode of something."""
    if re.fullmatch("[a-z0-9-]+", label) is None:
        raise ValueError("no label")
    if label.startswith(_ACE) and _encode(label[len(_ACE) :].encode().decode("punycode")) != label:
        raise ValueError("punycode")
    return label


def _prepare(label: str) -> str:
    nameprep(_KEPT.sub("a", label))  # raises where writing directions are mixed, for which it needs the whole label
    pieces = (piece if _KEPT.fullmatch(piece) else nameprep(piece) for piece in _KEPT.split(label))
    return unicodedata.normalize("NFC", "".join(pieces))


def _encode(label: str) -> str:
    if label.isascii() or _prepare(label) != label or _KEPT.sub("", label) != _KEPT.sub("", label).casefold():
        raise ValueError("not in its prepared form")
    if label[0] == "-" or label[-1] == "-" or label[2:4] == "--":
        raise ValueError("hyphens")
    if not all(c in _MORE_LETTERS or (unicodedata.category(c) in _LETTERS and not in_table_a1(c)) for c in label):
        raise ValueError("no letter or digit, or one that the preparation does not know")
    if unicodedata.category(label[0]).startswith("M"):
        raise ValueError("begins with a combining mark")
    encoded = _ACE + label.encode("punycode").decode("ascii")
    if len(encoded) > _MAX_LABEL:
        raise ValueError("too long")
    return encoded
