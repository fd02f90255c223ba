"""The numbers in SQL: those of the named statements, and those of the schema as the last migration leaves it."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.services import ROOT

FOLDERS = ("functions", "layers")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_SECTION = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_PARAMETER = re.compile(r"%\(\w+\)s")
# A number by itself or with the unit of an interval, as PostgreSQL reads or prints one; digits of a name, or of a code
# such as IR001, are none.
_NUMBER = re.compile(
    r"(?<![\w.:])\d+(?:\.\d+)?(?:[ -](?:second|minute|hour|day|week|mon|month|year)s?\b|:\d\d:\d\d|(?![\w:]|\.\d))"
)
# Steps and starts of counts. Another number in their place is seen; swapping them, by tests of behaviour.
_COUNTING = {"0", "1"}
_QUOTED = re.compile(r"\$\$.*?\$\$|'(?:[^']|'')*'", re.DOTALL)
_DEFINITION = re.compile(
    r"(?P<verb>CREATE|CREATE OR REPLACE|ALTER|DROP|INSERT)(?: UNIQUE)? "
    r"(?P<kind>FUNCTION|VIEW|TABLE|INDEX|TRIGGER|INTO)(?: IF (?:NOT )?EXISTS)? (?P<name>\w+)"
)
_ADDS = {("ALTER", "TABLE"), ("INSERT", "INTO")}


def list_numbers(sql: str) -> tuple[str, ...]:
    """Return the numbers and intervals of an SQL text in their order, without its comments and without 0 and 1."""
    found = _NUMBER.findall(_PARAMETER.sub("", _COMMENT.sub("", sql)))
    return tuple(number for number in found if number not in _COUNTING)


@cache
def list_statement_numbers() -> dict[str, tuple[str, ...]]:
    """Return the numbers of each named statement that has any, as `file:name`."""
    return {name: found for name, text in list_named_statements().items() if (found := list_numbers(text))}


@cache
def list_named_statements() -> dict[str, str]:
    """Return the text of each named statement."""
    return {
        f"{path.parent.name}/{path.name}:{name}": text
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.sql"))
        for name, text in _list_sections(path)
    }


def _list_sections(path: Path) -> Iterator[tuple[str, str]]:
    parts = _SECTION.split(path.read_text(encoding="utf-8"))
    return zip(parts[1::2], parts[2::2], strict=True)


def list_schema_numbers() -> dict[str, tuple[str, ...]]:
    """Return the numbers of each part of the schema that has any, as `kind name`; `rows` are what is inserted."""
    return {name: found for name, text in list_current_definitions().items() if (found := list_numbers(text))}


def list_current_definitions() -> dict[str, str]:
    """Return what defines each part of the schema after the last migration, with the rows that come with it.

    A later definition replaces an earlier one; what alters a table, or inserts into it, adds to it. What corrects rows
    that were there before is no rule and is left out.
    """
    found: dict[str, str] = {}
    for path in sorted((ROOT / "migrations").glob("*.sql")):
        for statement in split_statements(path.read_text(encoding="utf-8")):
            if match := _DEFINITION.match(statement):
                _note_definition(found, statement, match["verb"], match["kind"], match["name"])
    return found


def _note_definition(found: dict[str, str], statement: str, verb: str, kind: str, name: str) -> None:
    key = f"{'rows' if kind == 'INTO' else kind.lower()} {name}"
    if verb == "DROP":
        found.pop(key, None)
    else:
        found[key] = f"{found.get(key, '')}\n{statement}" if (verb, kind) in _ADDS else statement


def split_statements(sql: str) -> Iterator[str]:
    """Return the statements of a migration, without comments; a semicolon within quotes ends none."""
    text = _COMMENT.sub("", sql)
    begin = 0
    quoted = [match.span() for match in _QUOTED.finditer(text)]
    for match in re.finditer(";", text):
        if not any(start < match.start() < end for start, end in quoted):
            yield text[begin : match.start()].strip()
            begin = match.end()
