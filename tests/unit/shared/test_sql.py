"""SQL files: named sections, each saying what it is for."""

import re
from importlib import resources
from pathlib import Path

import pytest

from shared.sql import load_queries, parse_queries

ROOT = Path(__file__).resolve().parents[3]
SECTIONED = sorted(
    p
    for p in [*ROOT.glob("functions/*/*/*.sql"), *ROOT.glob("layers/shared/shared/**/*.sql")]
    if p.parent.name != "database_setup"  # one statement as a whole: it has no layer, and so no reader of sections
    if ".aws-sam" not in str(p)
)


def test_a_section_is_found_by_its_name_without_its_comments() -> None:
    """The name and the purpose stay in the file; what goes to the database is the statement."""
    text = "-- head\n\n-- name: one\n-- For a test.\nSELECT 1\n-- inner\nFROM t;\n"
    assert parse_queries(text) == {"one": "SELECT 1\nFROM t"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: one\nSELECT 1\n", "what it is for"),
        ("-- name: one\n-- P.\nSELECT 1\n-- name: one\n-- P.\nSELECT 2\n", "twice"),
        ("-- name: one\n-- P.\nSELECT 1; SELECT 2\n", "one statement"),
        ("-- name: one\n-- P.\n", "one statement"),
        ("SELECT 0\n-- name: one\n-- P.\nSELECT 1\n", "before the first"),
    ],
)
def test_a_file_that_would_mislead_its_reader_is_refused(text: str, complaint: str) -> None:
    """A section without a purpose, a name used twice, two statements in one, or none."""
    with pytest.raises(ValueError, match=complaint):
        parse_queries(text)


@pytest.mark.parametrize("path", SECTIONED, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_section_is_used_and_every_use_has_a_section(path: Path) -> None:
    """There is no dead SQL, and no name that fails only when it is reached."""
    sections = set(parse_queries(path.read_text(encoding="utf-8")))
    code = "".join(source.read_text(encoding="utf-8") for source in path.parent.glob("*.py"))
    statements = "".join(file.read_text(encoding="utf-8") for file in SECTIONED)
    assert [name for name in sections if f'"{name}"' not in code and f"{{{name}}}" not in statements] == []
    beside = [parse_queries(file.read_text(encoding="utf-8")) for file in path.parent.glob("*.sql")]
    assert set(re.findall(r'SQL\[\s*"([a-z_0-9]+)"\s*\]', code)) <= sections.union(*beside)


def test_the_layer_finds_its_sql_as_package_data() -> None:
    """load_queries reads through the package, wherever it is installed."""
    assert resources.files("shared.outbox").joinpath("jobs.sql").is_file()
    assert "enqueue" in load_queries("shared.outbox", "jobs.sql")
