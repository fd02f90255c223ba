"""The colours of style sheets, and how far they stand out from each other."""

import re


def read_colours(style: str) -> list[dict[str, str]]:
    """Return the custom properties that are colours, of each `:root` of a style sheet: light first, then dark."""
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,8})", block)) for block in blocks]


def compute_contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours."""
    bright, dark = sorted((compute_luminance(one), compute_luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def compute_luminance(colour: str) -> float:
    """WCAG's relative luminance of #rgb or #rrggbb."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
