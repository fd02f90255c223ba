"""The keeping of answers: the relay copies them from the keys' rows to DynamoDB, and no call waits for that.

A repeat then finds its answer without the database, and operators find it after the database was restored to an earlier
moment. Steps of a batch:

read (one round trip) → keep each, if its key's record waits for it → mark (one round trip)

If the relay is killed anywhere, nothing is lost: what is not marked is read again, and what is kept already stays as it
is.
"""

from collections.abc import Iterable
from typing import Protocol

from shared.admission.ports import UnkeptAnswer
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction
from shared.deadline import Deadline
from shared.errors import DependencyFailed
from shared.logging import observe
from shared.sql import load_queries

SQL = load_queries("relay", "answers.sql")

# Keeping this many takes about a tenth of a second. Jobs that have become due meanwhile are sent before the next batch.
KEEP_BATCH = 25
# If the table is slow, a batch ends after this time, and with the write that is under way then: mails wait for it.
KEEP_TIME_S = 0.2
# No write is begun with less of the run's time left: what has been kept must still be marked.
MARK_TIME_S = 3.0


class AnswerKeeper(Protocol):
    """A keeper of answers; see DynamoDbAnswerKeeper."""

    def keep(self, answer: UnkeptAnswer) -> bool:
        """Keep an answer if its key's record waits for it; return False if it has to be tried again."""
        ...


def keep_answers(database: Database, keeper: AnswerKeeper, deadline: Deadline) -> int:
    """Keep up to KEEP_BATCH answers, for about KEEP_TIME_S; return how many need nothing more."""
    rows = database.run(lambda tx: tx.fetch_all(SQL["unkept_answers"], count=KEEP_BATCH), deadline).value
    holders = _keep_each(keeper, rows, deadline)
    if holders:
        database.run(lambda tx: _mark_kept(tx, holders), deadline)
    return len(holders)


def _keep_each(keeper: AnswerKeeper, rows: Iterable[Row], deadline: Deadline) -> list[str]:
    """Return the holders whose answers need nothing more."""
    holders: list[str] = []
    least_s = max(MARK_TIME_S, deadline.seconds_left - KEEP_TIME_S)
    for row in rows:
        if deadline.seconds_left < least_s:
            break
        answer = UnkeptAnswer(row["scope"], row["key"], row["holder"], row["as_json"], row["created_at"])
        try:
            is_done = keeper.keep(answer)
        except DependencyFailed as failure:
            # The table is out of reach: the next scheduled or woken run finds the answers again.
            observe("answers_not_kept", {"error": str(failure)})
            break
        if is_done:
            holders.append(row["holder"])
    return holders


def _mark_kept(tx: Transaction, holders: list[str]) -> Pending[None]:
    tx.add(SQL["mark_kept"], holders=holders)
    return Pending(lambda: None)
