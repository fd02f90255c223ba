"""The circuits, and the jobs that wait for them, as operators see them."""

from datetime import UTC, datetime
from typing import Any

from shared.circuit.state import CircuitPolicy, CircuitSnapshot
from shared.database.transaction import Row
from shared.units import SECOND

# What is shown of the jobs that wait for a circuit while the database does not answer.
UNKNOWN_JOBS: dict[str, Any] = dict.fromkeys(("held_jobs", "oldest_held_s", "held_until"))


def describe_circuit(circuit: CircuitSnapshot, policy: CircuitPolicy, now: int) -> dict[str, Any]:
    """Return a circuit as operators see it.

    Times are in RFC 3339; `probe_at` is when the next probe may be made, `failures` is how many count.
    """
    return {
        "state": circuit.state,
        "forced": circuit.forced,
        "since": format_time(circuit.since),
        "probe_at": format_time(circuit.probe_due),
        "failures": len(circuit.bucket.drop_old_failures(policy, now).failures),
        "generation": circuit.generation,
    }


def describe_held_jobs(held: Row | None, circuit: CircuitSnapshot) -> dict[str, Any]:
    """Return the jobs that wait for a circuit as operators see them; `held` is None if there are none.

    `held_until` is when the first of them is tried again; null if there is none, or if operators hold the circuit open.
    """
    if held is None:
        return {**UNKNOWN_JOBS, "held_jobs": 0}
    is_held_open = circuit.forced and circuit.state != "closed"
    due = max(round(held["held_until"].timestamp() * SECOND), circuit.probe_due or 0)
    return {
        "held_jobs": held["held_jobs"],
        "oldest_held_s": held["oldest_held_s"],
        "held_until": None if is_held_open else format_time(due),
    }


def permits_call(circuit: CircuitSnapshot, now: int) -> bool:
    """Return whether a call may pass, if only as a probe."""
    due = circuit.probe_due
    return circuit.state == "closed" or (due is not None and due <= now)


def format_time(micros: int | None) -> str | None:
    """Return microseconds since the epoch in RFC 3339."""
    return None if micros is None else datetime.fromtimestamp(micros // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
