"""Referral codes: a name that is easy to remember and four random characters, like ARTA-7K3F."""

import unicodedata

from shared.ids import make_crockford_code

NAME_LETTERS = 8
RANDOM_CHARACTERS = 4
NAMELESS = "AGENT"  # for a first name without any letter that can be transliterated

# Letters that NFKD does not decompose: Macedonian and Serbian Cyrillic, and a few Latin ones.
_LATIN = str.maketrans(
    {
        **dict(zip("АБВГДЕЖЗИЈКЛМНОПРСТУФХЦЧШ", "ABVGDEZZIJKLMNOPRSTUFHCCS", strict=True)),
        "Ѓ": "GJ",
        "\u0405": "DZ",  # Cyrillic dze, which looks like a Latin S
        "Љ": "LJ",
        "Њ": "NJ",
        "Ќ": "KJ",
        "Џ": "DZ",
        "Ђ": "DJ",
        "Ћ": "C",
        "Đ": "DJ",
        "Ł": "L",
        "Ø": "O",
        "Æ": "AE",
    }
)


def make_referral_code(full_name: str) -> str:
    """Return a new code for a person, a different one at each call."""
    first = full_name.split()[0].upper().translate(_LATIN)
    letters = "".join(c for c in unicodedata.normalize("NFKD", first) if "A" <= c <= "Z")[:NAME_LETTERS]
    return f"{letters or NAMELESS}-{make_crockford_code(RANDOM_CHARACTERS)}"
