"""Code that is run step by step: from the start each time, with the answers it has had, to its next call outside.

So what a process remembers between two steps is a value, the answers, although its code is ordinary Python.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import psycopg


class Outside(BaseException):
    """The code would wait for the answer to a call that it makes outside: its next step."""

    def __init__(self, kind: str, details: Any) -> None:
        super().__init__(kind)
        self.kind = kind
        self.details = details


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that the code receives as an exception."""

    make: Callable[[], Exception]


class Player:
    """Gives recorded answers in order; raises Outside at the call after the last. `time` is that of the last answer."""

    def __init__(self, began: int, script: Sequence[tuple[int, Any]]) -> None:
        self.time = began
        self.answered = 0
        self._script = list(script)

    def call(self, kind: str, details: Any = None) -> Any:
        """Return the recorded answer, or raise it."""
        if not self._script:
            raise Outside(kind, details)
        self.time, answer = self._script.pop(0)
        self.answered += 1
        if isinstance(answer, Failure):
            raise answer.make()
        return answer


class PlayedCursor:
    """The result of a statement."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def fetchone(self) -> Any:
        """Return the first row."""
        return self.rows[0] if self.rows else None

    def fetchall(self) -> Any:
        """Return all rows."""
        return self.rows


class PlayedConnection:
    """A connection, a ConnectionHolder too: each pipeline is one call outside."""

    def __init__(self, player: Player, read_rows: Callable[[Any], list[Any]] = list) -> None:
        self._player = player
        self._read_rows = read_rows
        self._queued: list[tuple[str, Any, PlayedCursor]] = []

    def borrow(self, _within_s: float) -> Any:
        """Return the connection."""
        return self

    def limit_waiting(self, _seconds: float) -> AbstractContextManager[None]:
        """Limit nothing."""
        return nullcontext()

    def return_connection(self) -> None:
        """Do nothing."""

    def drop(self) -> None:
        """Do nothing."""

    def execute(self, query: str, params: Any) -> PlayedCursor:
        """Queue a statement."""
        cursor = PlayedCursor()
        self._queued.append((query, params, cursor))
        return cursor

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        """Send what was queued, as one transaction."""
        self._queued = []
        yield
        statements = [(query, params) for query, params, _ in self._queued]
        for (_, _, cursor), rows in zip(self._queued, self._player.call("transaction", statements), strict=True):
            cursor.rows = self._read_rows(rows)


def lose_connection() -> Exception:
    """Return the error of a connection that was lost."""
    return psycopg.OperationalError("server closed the connection unexpectedly")


LOST = Failure(lose_connection)
