"""The jobs that wait because the circuit of their service is open, and their release by operators."""

from collections.abc import Mapping

from shared.database.transaction import Pending, Row, Transaction
from shared.sql import load_queries

SQL = load_queries("operations", "held_jobs.sql")

HeldJobs = Mapping[str, Row]

# The circuit that each kind of job waits for; no job calls the storage.
CIRCUITS = {"mail": "email", "identity": "identity"}


def read_held_jobs(tx: Transaction) -> Pending[HeldJobs]:
    """Return by circuit how many jobs wait for it, how old the oldest is, and when the first is tried again.

    A circuit that no job waits for is left out.
    """
    found = tx.fetch_all(SQL["held_jobs"])
    return Pending(lambda: {CIRCUITS[row["kind"]]: row for row in found.resolve()})


def release_held_jobs(tx: Transaction, circuit: str) -> Pending[int]:
    """Make the jobs due that wait for a circuit, and return how many they are."""
    kind = next(kind for kind, waits_for in CIRCUITS.items() if waits_for == circuit)
    released = tx.fetch_one(SQL["release_held_jobs"], kind=kind)
    return Pending(lambda: int((released.resolve() or {"released": 0})["released"]))
