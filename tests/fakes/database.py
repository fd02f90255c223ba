"""A database that gives the answers a test prepared, and records the use cases it ran."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from shared.admission.ports import KeyUse
from shared.database.transaction import Committed, Pending, Transaction
from shared.deadline import Deadline
from shared.errors import Refusal
from tests.fakes.clock import ManualClock


def run_nothing(_tx: Transaction, *_args: object) -> Pending[Any]:
    """Return a use case for a ScriptedDatabase, which runs none."""
    raise AssertionError("it is not run")


class ScriptedDatabase:
    """`answer` is called for each transaction; it returns the facts or raises."""

    def __init__(self, answer: Callable[[], Any], *, signals: frozenset[str] = frozenset()) -> None:
        self._answer = answer
        self._signals = signals
        self._committed: dict[tuple[str, str], tuple[str, Any, datetime]] = {}
        self.uses: list[KeyUse] = []
        self.asked: list[KeyUse] = []
        self.reads = 0

    def run(self, _use_case: Any, _deadline: Deadline) -> Committed[Any]:
        self.reads += 1
        return Committed(self._answer(), self._signals)

    def run_once(self, use: KeyUse, _use_case: Any, _deadline: Deadline, **_more: Any) -> Committed[Any]:
        self.uses.append(use)
        answer = self._answer()
        self._committed.setdefault((use.scope, use.key), (use.fingerprint, answer, ManualClock()()))
        return Committed(answer, self._signals)

    def find_committed(self, use: KeyUse, _deadline: Deadline, **_more: Any) -> Committed[Any] | None:
        self.asked.append(use)
        fingerprint, answer, first_used_at = self._committed.get((use.scope, use.key), (use.fingerprint, None, None))
        if fingerprint != use.fingerprint:
            raise Refusal("idempotency-key-reused")
        return None if first_used_at is None else Committed(answer, frozenset(), first_used_at)
