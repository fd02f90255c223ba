"""A database that answers what a test says, and remembers what it was asked."""

from collections.abc import Callable
from typing import Any

from shared.admission.ports import KeyUse
from shared.database.pipeline import Landed
from shared.deadline import Deadline


class ScriptedDatabase:
    """`answer` is called for each transaction; it returns the facts or raises."""

    def __init__(self, answer: Callable[[], Any], *, signals: frozenset[str] = frozenset()) -> None:
        self._answer = answer
        self._signals = signals
        self.uses: list[KeyUse] = []
        self.reads = 0

    def run(self, _use_case: Any, _deadline: Deadline) -> Landed[Any]:
        self.reads += 1
        return Landed(self._answer(), self._signals)

    def once(self, use: KeyUse, _use_case: Any, _deadline: Deadline, **_more: Any) -> Landed[Any]:
        self.uses.append(use)
        return Landed(self._answer(), self._signals)
