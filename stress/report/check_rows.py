"""Rows of a table of checks: one that a scenario makes in each of several rounds, and that held in all, is one row."""

from collections.abc import Sequence
from dataclasses import dataclass

from stress.model import Assertion


@dataclass(frozen=True)
class CheckRow:
    """A check, and what it found each time it was made."""

    check: Assertion
    found: list[str]

    @property
    def times(self) -> int:
        """Return how often the check was made."""
        return len(self.found)

    @property
    def values(self) -> list[str]:
        """Return what was found, once if it was the same each time."""
        return self.found[:1] if len(set(self.found)) == 1 else self.found


def fold_checks(checks: Sequence[Assertion]) -> list[CheckRow]:
    """Return the checks as rows. One that did not hold has a row of its own, whatever others are called."""
    rows: list[CheckRow] = []
    held: dict[tuple[str, str], CheckRow] = {}
    for check in checks:
        name = check.name, check.wanted
        if check.passed and name in held:
            held[name].found.append(check.found)
            continue
        rows.append(CheckRow(check, [check.found]))
        if check.passed:
            held[name] = rows[-1]
    return rows
