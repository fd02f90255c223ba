"""A reader of `.sql` files: named sections, each with one line that states its purpose.

-- name: insert_member
-- Insert the member's row; its number comes from the sequence.
INSERT INTO members …
"""

import re
from collections.abc import Mapping
from importlib import resources
from typing import NewType

Query = NewType("Query", str)

_SECTION = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)


def parse_queries(text: str) -> Mapping[str, Query]:
    """Return the sections of a `.sql` text by name.

    Raise ValueError for a repeated name or a section without purpose.
    """
    head, *parts = _SECTION.split(text)
    if any(line and not line.startswith("--") for line in head.splitlines()):
        raise ValueError("SQL before the first named section")
    queries: dict[str, Query] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in queries:
            raise ValueError(f"section {name} stands twice")
        queries[name] = Query(_make_statement(name, body))
    return queries


def _make_statement(name: str, body: str) -> str:
    lines = body.strip().splitlines()
    if not lines or not lines[0].startswith("-- "):
        raise ValueError(f"section {name} does not say what it is for")
    statement = "\n".join(line for line in lines if not line.lstrip().startswith("--")).strip().rstrip(";")
    if not statement or ";" in statement:
        raise ValueError(f"section {name} must hold exactly one statement")
    return statement


def load_queries(
    package: str, name: str = "queries.sql", *, parts: Mapping[str, Query] | None = None
) -> Mapping[str, Query]:
    """Return the sections of a package's file `name`; `parts` replace their names in braces."""
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    for part, sql in (parts or {}).items():
        text = text.replace(f"{{{part}}}", sql)
    return parse_queries(text)
