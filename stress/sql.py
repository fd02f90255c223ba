"""The reader of the named statements of a .sql file."""

import re
from pathlib import Path

NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(path: Path) -> dict[str, str]:
    """Return the statements, by the name in the comment before each."""
    _, *parts = NAME.split(path.read_text())
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}
