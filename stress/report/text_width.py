"""Widths of texts in a chart, before any browser has drawn them, so that labels can be placed apart from each other.

The widths are those of DejaVu Sans, the widest of the fonts that the page's style names or falls back on: a label that
fits with it fits with the others. They are a little too wide rather than too narrow.
"""

from collections.abc import Sequence

# Advance widths as shares of the font's size, the widest of each class.
NARROW, SLIM, WIDE, CAPITAL, OTHER = 0.335, 0.46, 1.0, 0.86, 0.64
CLASSES = (
    (NARROW, "ijlIJ'"),
    (SLIM, " .,:;/!|()[]tfr-"),
    (WIDE, "mwMW@%"),
    (CAPITAL, "ABCDEFGHKLNOPQRSTUVXYZ+<>=#~&×÷≤≥→"),
)
BOLD = 1.12  # how many times as wide a bold text is
WIDTHS = {letter: width for width, letters in CLASSES for letter in letters}
BEYOND_LATIN = 0x17F  # letters after this one are of other alphabets, some of them as wide as an m

Span = tuple[float, float]


def measure_text(text: str, size: float, *, bold: bool = False) -> float:
    """Return how many pixels wide a text of this font size is at most."""
    return sum(_measure_letter(letter) for letter in text) * size * (BOLD if bold else 1)


def _measure_letter(letter: str) -> float:
    return WIDTHS.get(letter, WIDE if ord(letter) > BEYOND_LATIN else OTHER)


def wrap_text(text: str, room: float, size: float) -> list[str]:
    """Return a text's lines of at most `room` pixels, broken at spaces, and within a word wider than that."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure_text(longer, size) <= room:
            lines[-1] = longer
        else:
            lines += _break_word(word, room, size)
    return lines


def _break_word(word: str, room: float, size: float) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and measure_text(pieces[-1] + letter, size) > room:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def assign_levels(spans: Sequence[Span], gap: float) -> list[int]:
    """Return a level for each span, the lowest on which it keeps its distance from those before it.

    The spans must be ordered by their left ends.
    """
    ends: list[float] = []
    levels: list[int] = []
    for left, right in spans:
        level = next((level for level, end in enumerate(ends) if left - end >= gap), len(ends))
        ends[level : level + 1] = [right]
        levels.append(level)
    return levels


def clamp_middle(middle: float, width: float, left: float, right: float) -> float:
    """Return where the middle of a text must be so that it ends within `left`…`right`, as near as possible."""
    return max(left + width / 2, min(middle, right - width / 2))
