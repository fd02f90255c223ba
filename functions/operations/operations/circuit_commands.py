"""The operators' commands about circuits: show them, and force one, which releases the jobs that wait for it.

Operators force circuits during outages, in which the database may be down too. The command is carried out all the same:
what only the database knows is null, and an audit entry that can't be written is logged.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from operations import circuits
from operations.errors import CommandError
from operations.held_jobs import HeldJobs, read_held_jobs, release_held_jobs
from operations.staff import OPERATOR
from shared.aws.sqs import JobQueues
from shared.circuit.state import CircuitPolicy, CircuitSnapshot
from shared.circuit.store import CircuitStore, StoreUnavailable, force_circuit
from shared.clock import read_epoch_micros, read_monotonic
from shared.database.transaction import Pending, Transaction, TransactionRunner, UseCase
from shared.deadline import Deadline
from shared.fields import RequestModel
from shared.ids import make_uuid7
from shared.logging import describe_failure, logger
from shared.outbox.audit import NO_RECORD
from shared.settings import DEFAULT_CIRCUITS
from shared.sql import load_queries

SQL = load_queries("operations")

# For `refresh_s` workers act on the circuit as they last read it, and would postpone released jobs again. The margin is
# for the statement of a worker that decides so at the last moment.
MARGIN_S = 0.2

T = TypeVar("T")


class ShowCircuits(RequestModel):
    """Show the circuits of the services."""

    command: Literal["circuits"]


class ForceCircuit(RequestModel):
    """Hold a circuit open or closed, or make it automatic again."""

    command: Literal["force-circuit"]
    name: Literal["email", "identity", "storage"]
    state: Literal["open", "closed", "auto"]


@dataclass(frozen=True, slots=True)
class CircuitCommands:
    """The parts that the commands use; `request_id` is the invocation's, for the audit.

    A database that takes longer than `database_s` to answer counts as down.
    """

    store: CircuitStore
    find_policy: Callable[[str], CircuitPolicy]
    database: TransactionRunner
    get_queues: Callable[[], JobQueues]
    request_id: str
    database_s: float
    sleep: Callable[[float], None] = time.sleep

    def run(self, command: ShowCircuits | ForceCircuit) -> dict[str, Any]:
        """Carry out a command. Raise CommandError."""
        try:
            return self._force(command) if isinstance(command, ForceCircuit) else self._show()
        except StoreUnavailable as error:
            raise CommandError(f"the state table did not answer, repeat the command: {error.code}") from None

    def _show(self) -> dict[str, Any]:
        found = {name: self.store.read(name) for name in DEFAULT_CIRCUITS}
        held = self._ask(read_held_jobs, "held_jobs_not_read")
        return {"circuits": {name: self._describe(name, circuit, held) for name, circuit in found.items()}}

    def _force(self, command: ForceCircuit) -> dict[str, Any]:
        circuit = force_circuit(self.store, self.find_policy(command.name), command.state, read_epoch_micros())
        held, released = self._record(command, circuit), 0
        woken: bool | None = None  # whether the relay was; null if there was nothing to wake it for
        if held and command.name in held and circuits.permits_call(circuit, read_epoch_micros()):
            held, released, woken = self._release(command.name) or (None, 0, None)
        shown = {command.name: self._describe(command.name, circuit, held)}
        return {"circuits": shown, "released_jobs": None if held is None else released, "relay_woken": woken}

    def _release(self, name: str) -> tuple[HeldJobs, int, bool] | None:
        """Release the jobs that wait for a circuit.

        Return which still wait, how many were released, and whether the relay was woken.

        If SQS does not take the wake-up, the relay's schedule finds the jobs, within a minute. None if the database did
        not answer: then the relay tries them again when they are due.
        """
        self.sleep(self.find_policy(name).refresh_s + MARGIN_S)

        def release(tx: Transaction) -> Pending[tuple[HeldJobs, int]]:
            released, held = release_held_jobs(tx, name), read_held_jobs(tx)
            return Pending(lambda: (held.resolve(), released.resolve()))

        answer = self._ask(release, "jobs_not_released", circuit=name)
        return None if answer is None else (*answer, self.get_queues().wake_relay())

    def _record(self, command: ForceCircuit, circuit: CircuitSnapshot) -> HeldJobs | None:
        """Write the audit entry, unless an earlier run of the command has; return which jobs are held."""
        facts = {
            "circuit": command.name,
            "state": command.state,
            "generation": circuit.generation,
            "since": circuits.format_time(circuit.since),
        }
        ids = {"audit_id": make_uuid7(), "subject": NO_RECORD, "actor": OPERATOR, "request_id": self.request_id}

        def record(tx: Transaction) -> Pending[HeldJobs]:
            tx.add(SQL["record_forced_circuit"], **ids, facts=json.dumps(facts))
            return read_held_jobs(tx)

        return self._ask(record, "audit_not_written", request=self.request_id, facts=facts)

    def _ask(self, use_case: UseCase[T], event: str, **facts: object) -> T | None:
        """Return what a transaction returns; None, and a line in the log, if it fails."""
        try:
            return self.database.run(use_case, Deadline.from_seconds(self.database_s, read_monotonic)).value
        except Exception as error:  # noqa: BLE001 - the circuit counts, whatever happens to the database
            logger.error(event, extra={**facts, **describe_failure(error)})
            return None

    def _describe(self, name: str, circuit: CircuitSnapshot, held: HeldJobs | None) -> dict[str, Any]:
        """Return a circuit as operators see it, with the jobs that wait for it; null if that is unknown."""
        shown = circuits.describe_circuit(circuit, self.find_policy(name), read_epoch_micros())
        jobs = circuits.UNKNOWN_JOBS if held is None else circuits.describe_held_jobs(held.get(name), circuit)
        return {**shown, **jobs}
