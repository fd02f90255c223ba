"""The keeping of answers: the relay copies what keys' rows can answer to DynamoDB, and no call waits for that.

There a repeat finds the answer without the database, and operators find it after the database was restored to a moment
before it. read (one round trip) → keep each, if its key's record waits for it → mark (one round trip). If the relay is
killed anywhere, nothing is lost: what is not marked is read again, and what is kept already stays as it is.
"""

from collections.abc import Iterable
from typing import Protocol

from shared.admission.ports import UnkeptAnswer
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction
from shared.deadline import Deadline
from shared.errors import DependencyFailed
from shared.logging import logger
from shared.sql import load_queries

SQL = load_queries("relay", "answers.sql")

# A tenth of a second; after so many the jobs that have become due meanwhile come first.
KEEP_BATCH = 25
# And after so long, if the table is slow: a mail waits for the writes of this time and one more.
KEEP_TIME_S = 0.2
# No write is begun with less of the run's time left: what is kept has still to be marked.
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
            logger.warning("answers_not_kept", extra={"error": str(failure)})
            break
        if is_done:
            holders.append(row["holder"])
    return holders


def _mark_kept(tx: Transaction, holders: list[str]) -> Pending[None]:
    tx.add(SQL["mark_kept"], holders=holders)
    return Pending(lambda: None)
