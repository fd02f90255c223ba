"""A database that gives the answers a test prepared, and records the use cases it ran."""

from collections.abc import Callable
from typing import Any

from shared.admission.ports import KeyUse
from shared.database.transaction import Committed, Pending, Transaction
from shared.deadline import Deadline


def run_nothing(_tx: Transaction, *_args: object) -> Pending[Any]:
    """Return a use case for a ScriptedDatabase, which runs none."""
    raise AssertionError("it is not run")


class ScriptedDatabase:
    """`answer` is called for each transaction; it returns the facts or raises."""

    def __init__(self, answer: Callable[[], Any], *, signals: frozenset[str] = frozenset()) -> None:
        self._answer = answer
        self._signals = signals
        self.uses: list[KeyUse] = []
        self.reads = 0

    def run(self, _use_case: Any, _deadline: Deadline) -> Committed[Any]:
        self.reads += 1
        return Committed(self._answer(), self._signals)

    def run_once(self, use: KeyUse, _use_case: Any, _deadline: Deadline, **_more: Any) -> Committed[Any]:
        self.uses.append(use)
        return Committed(self._answer(), self._signals)
