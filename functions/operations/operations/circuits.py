"""The circuits, as operators see and force them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from shared.circuit.state import CircuitPolicy, CircuitSnapshot, Command
from shared.circuit.store import CircuitStore, force_circuit
from shared.units import SECOND


def show_circuits(store: CircuitStore, policies: Iterable[CircuitPolicy], now: int) -> dict[str, Any]:
    """Return every circuit by name. Raise StoreUnavailable."""
    return {policy.name: describe_circuit(store.read(policy.name), policy, now) for policy in policies}


def apply_command(store: CircuitStore, policy: CircuitPolicy, to: Command, now: int) -> dict[str, Any]:
    """Force a circuit, or make it automatic again, and return it. Raise StoreUnavailable."""
    return {policy.name: describe_circuit(force_circuit(store, policy, to, now), policy, now)}


def describe_circuit(circuit: CircuitSnapshot, policy: CircuitPolicy, now: int) -> dict[str, Any]:
    """Return a circuit as operators see it.

    Times are in RFC 3339; `probe_at` is when the next probe may be made, `failures` is how many count.
    """
    return {
        "state": circuit.state,
        "forced": circuit.forced,
        "since": _format_time(circuit.since),
        "probe_at": _format_time(circuit.probe_due),
        "failures": len(circuit.bucket.drop_old_failures(policy, now).failures),
        "generation": circuit.generation,
    }


def _format_time(micros: int | None) -> str | None:
    return None if micros is None else datetime.fromtimestamp(micros // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
