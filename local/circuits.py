"""`make circuits`: list the circuit breakers, or force one open or closed, through the operations function."""

from typing import Any

from local.state_folder import StateFolder, build_front_url
from local.tokens import FUNCTION, invoke

COLUMNS = ("state", "forced", "since", "probe_at", "failures", "generation")


class CircuitCommandFailed(Exception):
    """The operations function refused the command; the message has its reason."""


def run_circuit_command(state_folder: StateFolder, *, name: str, force: str) -> str:
    """Return a table of all circuits, or of the one that was forced. Raise CircuitCommandFailed.

    Give both `name` and `force` to force a circuit, or neither.
    """
    if bool(name) != bool(force):
        raise CircuitCommandFailed("to force one: make circuits NAME=email|identity|storage FORCE=open|closed|auto")
    command: dict[str, str] = {"command": "circuits"}
    if force:
        command = {"command": "force-circuit", "name": name, "state": force}
    result = invoke(build_front_url(state_folder.read_state()), FUNCTION, command)
    if "errorMessage" in result:
        raise CircuitCommandFailed(f"{FUNCTION} failed: {result['errorMessage']}")
    return format_table(result["circuits"])


def format_table(found: dict[str, dict[str, Any]]) -> str:
    """Return one line for each circuit, below a header."""
    rows: list[tuple[str, ...]] = [("circuit", *COLUMNS)]
    rows += [(name, *(format_cell(circuit[column]) for column in COLUMNS)) for name, circuit in sorted(found.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def format_cell(value: object) -> str:
    """Return a value as the text of a cell."""
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
