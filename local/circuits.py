"""`make circuits`: the services' circuits, and forcing one open or closed, by the operators' function."""

from typing import Any

from local.home import Home, front_of
from local.tokens import FUNCTION, invoke

COLUMNS = ("state", "forced", "since", "probe_at", "failures", "generation")


class NotForced(Exception):
    """The function did not do as asked; the message has its reason."""


def circuits(home: Home, *, name: str, force: str) -> str:
    """A table of the circuits; with a name and what to force it to, of that one afterwards. Raises NotForced."""
    if bool(name) != bool(force):
        raise NotForced("to force one: make circuits NAME=email|identity|storage FORCE=open|closed|auto")
    command: dict[str, str] = {"command": "circuits"}
    if force:
        command = {"command": "force-circuit", "name": name, "state": force}
    result = invoke(front_of(home.read()), FUNCTION, command)
    if "errorMessage" in result:
        raise NotForced(f"{FUNCTION} failed: {result['errorMessage']}")
    return table(result["circuits"])


def table(found: dict[str, dict[str, Any]]) -> str:
    """One line for each, under a head."""
    rows: list[tuple[str, ...]] = [("circuit", *COLUMNS)]
    rows += [(name, *(told(circuit[column]) for column in COLUMNS)) for name, circuit in sorted(found.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def told(value: object) -> str:
    """A cell."""
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
