"""`make circuits`: list the circuit breakers, or force one open or closed, through the operations function."""

from typing import Any

from local.state_folder import StateFolder, build_front_url
from local.tokens import FUNCTION, invoke

COLUMNS = (
    "state", "forced", "since", "probe_at", "failures", "generation", "held_jobs", "oldest_held_s", "held_until",
)  # fmt: skip


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
    lines = [format_table(result["circuits"])]
    if force:
        lines.append(describe_release(result["circuits"][name], result["released_jobs"], woken=result["relay_woken"]))
    return "\n".join(lines)


def describe_release(circuit: dict[str, Any], released: int | None, *, woken: bool | None = True) -> str:
    """Return when the jobs leave that wait for a circuit that was forced; `woken` is false if the relay was not."""
    if released is None:
        return "Which jobs wait is not known: the database did not answer. They leave when they are next due."
    if released:
        if woken is False:
            leaving = "1 waiting job leaves" if released == 1 else f"{released} waiting jobs leave"
            return f"{leaving} within a minute: the relay could not be woken, and its schedule finds them."
        leaving = "1 waiting job leaves now" if released == 1 else f"{released} waiting jobs leave now"
        if released == 1 or circuit["state"] == "closed":
            return f"{leaving}."
        return f"{leaving}: one first, as the probe; the others once it has succeeded."
    held = circuit["held_jobs"]
    if not held:
        return "No job waits for it."
    waiting = "1 job waits" if held == 1 else f"{held} jobs wait"
    if circuit["held_until"]:
        return f"{waiting}: the first is tried at {circuit['held_until']}."
    return f"{waiting} until the circuit is forced closed, or made automatic."


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
