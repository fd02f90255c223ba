"""The break that makes each check of the harness fail, and the control that makes it: one TOML file for each scenario.

    [[check]]
    name = "Deadlocks in the database"          or pattern, a regular expression for the whole name
    fails_if = "Two changes lock the same rows in different orders."
    control = "lock-order-reversed"             in stress/controls/controls.toml; empty if none breaks this yet

A check that can't fail is worse than none, so one without an entry makes its scenario INVALID. common.toml is for
checks that several scenarios make, remote.toml for a run on a remote stack.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
COMMON, REMOTE = "common", "remote"


class UnknownCheck(LookupError):
    """A check has no entry; the message names it and its scenario."""


class InvalidEntry(Exception):
    """An entry is not written properly; the message says which and why."""


@dataclass(frozen=True)
class CheckEntry:
    """The break that makes the checks of one name, or of one pattern, fail, and the control that makes it."""

    fails_if: str
    control: str = ""
    name: str = ""
    pattern: str = ""

    def __post_init__(self) -> None:
        """Raise InvalidEntry unless the entry is for a name or a pattern, and says in a sentence what breaks it."""
        if bool(self.name) == bool(self.pattern):
            raise InvalidEntry(f"{self}: set exactly one of name and pattern")
        if not (self.fails_if.endswith(".") and self.fails_if[:1].isupper()):
            raise InvalidEntry(f"{self.name or self.pattern}: fails_if must be a sentence")

    def is_for(self, check: str) -> bool:
        """Return whether this is the entry of a check."""
        return check == self.name if self.name else re.fullmatch(self.pattern, check) is not None


@dataclass(frozen=True)
class CheckRegistry:
    """The entries of all scenarios, by the scenario's key."""

    entries: Mapping[str, tuple[CheckEntry, ...]] = field(default_factory=dict)

    def find(self, scenario: str, check: str) -> CheckEntry:
        """Return the entry of a scenario's check. Raise UnknownCheck."""
        found = next((entry for entry in self._list_entries(scenario) if entry.is_for(check)), None)
        if found is None:
            raise UnknownCheck(f"{scenario}: {check}")
        return found

    def _list_entries(self, scenario: str) -> Iterator[CheckEntry]:
        yield from self.entries.get(scenario, ())
        yield from self.entries.get(COMMON, ())


@cache
def load_registry(folder: Path = FOLDER) -> CheckRegistry:
    """Return the registry. Raise InvalidEntry; TOMLDecodeError if a file is not TOML."""
    return CheckRegistry({path.stem: tuple(_read_entries(path)) for path in sorted(folder.glob("*.toml"))})


def _read_entries(path: Path) -> Iterator[CheckEntry]:
    for table in tomllib.loads(path.read_text(encoding="utf-8")).get("check", ()):
        yield _read_entry(path, table)


def _read_entry(path: Path, table: Mapping[str, Any]) -> CheckEntry:
    try:
        return CheckEntry(**table)
    except TypeError as error:
        raise InvalidEntry(f"{path.name}: {table}: {error}") from None
