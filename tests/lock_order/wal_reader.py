"""The row locks of a transaction, in order and with their strength, read from the write-ahead log.

An insert, an update, a delete and each row lock, also those that a foreign key takes, are records of the write-ahead
log, one after the other (pg_walinspect, PostgreSQL's documentation, appendix F).
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.databases import FreshDatabase
from tests.lock_order.sample_records import ORDER

# The columns that identify a row of a table; for all others it is `id`.
KEYS = {
    "idempotency_keys": "scope || ' ' || key",
    "agent_clients": "member_id",
    "claim_history": "claim_id || ' ' || version",
    "payout_statements": "payout_id || ' ' || agent_id",
    "membership_reminders": "subscription_id || ' ' || period_starts_on || ' ' || kind || ' ' || ends_on",
    "greetings": "address || ' ' || template",
}

# Nobody can wait for a new row of these: only its id is unique, and we have just made it up.
UNSHARED = frozenset({"outbox", "audit"})

# How firmly a row is taken; a firmer lock on a row already held may have to wait again.
KEY_SHARE, SHARE, NO_KEY_UPDATE, UPDATE, OWN = range(1, 6)
_STRENGTHS = {
    frozenset({"KEYSHR_LOCK"}): KEY_SHARE,
    frozenset({"KEYSHR_LOCK", "EXCL_LOCK"}): SHARE,
    frozenset({"EXCL_LOCK"}): NO_KEY_UPDATE,
    frozenset({"EXCL_LOCK", "KEYS_UPDATED"}): UPDATE,
    frozenset({"KEYS_UPDATED"}): UPDATE,
    frozenset[str](): NO_KEY_UPDATE,  # an update's, which says no more
}

# An update that moves a row to another block names both, the new one first.
_RECORDS = """
SELECT w.xid::text AS xid, w.record_type AS type, w.description AS said, c.relname AS table,
       max(w.relblocknumber) FILTER (WHERE w.block_id = 0) AS block,
       max(w.relblocknumber) FILTER (WHERE w.block_id = 1) AS old_block
FROM pg_get_wal_block_info(%s, pg_current_wal_flush_lsn(), false) w
JOIN pg_class c ON pg_relation_filenode(c.oid) = w.relfilenode
WHERE w.reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND w.resource_manager = 'Heap' AND w.record_type ~ '^(INSERT|(HOT_)?UPDATE|DELETE|LOCK)'
  AND c.relname = ANY(%s)
GROUP BY w.start_lsn, w.xid, w.record_type, w.description, c.relname
ORDER BY w.start_lsn
"""


@dataclass(frozen=True, slots=True)
class LockedRow:
    """A row taken, or taken more firmly than before; `key` is None for one that the transaction itself has written."""

    table: str
    key: str | None
    strength: int

    @property
    def place(self) -> tuple[int, str]:
        """Return the row's place in the one order: by table, and within one by key; one's own row anywhere in its
        table.
        """
        return ORDER.index(self.table), self.key or ""


def find_out_of_order(transaction: list[LockedRow]) -> list[LockedRow]:
    """Return the rows that were taken after one that comes later."""
    late: list[LockedRow] = []
    reached = (0, "")
    for taken in transaction:
        if taken.key is None and taken.table in UNSHARED:
            continue
        place = taken.place if taken.key else (taken.place[0], reached[1] if taken.place[0] == reached[0] else "")
        if place < reached:
            late.append(taken)
        reached = max(reached, place)
    return late


class WalReader:
    """A reader of the rows that the transactions on a database take, from when it is made."""

    def __init__(self, fresh_database: FreshDatabase) -> None:
        fresh_database.postgres.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect", dbname=fresh_database.name)
        self._fresh_database = fresh_database
        self._keys = {(row["t"], row["at"]): row["key"] for row in fresh_database.query_rows(_PLACES)}
        self._from = self._look("SELECT pg_current_wal_insert_lsn()::text AS lsn")[0]["lsn"]

    def read_transactions(self) -> list[list[LockedRow]]:
        """Return the rows that each transaction has taken until now, in order."""
        self._look("SELECT pg_logical_emit_message(false, 'tests', '', true)")  # has the log written out
        keys, found = dict(self._keys), defaultdict[str, "_LoggedTransaction"](_LoggedTransaction)
        for record in self._look(_RECORDS, self._from, list(ORDER)):
            found[record["xid"]].read(record, keys)
        return [transaction.taken for transaction in found.values() if transaction.taken]

    def _look(self, query: str, *params: object) -> list[dict[str, Any]]:
        conninfo = self._fresh_database.postgres.build_conninfo(user="postgres", dbname=self._fresh_database.name)
        with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), params or None).fetchall()


_PLACES = " UNION ALL ".join(
    f"SELECT '{table}' AS t, ctid::text AS at, ({KEYS.get(table, 'id')})::text AS key FROM {table}" for table in ORDER
)


class _LoggedTransaction:
    def __init__(self) -> None:
        self.taken: list[LockedRow] = []
        self._held: dict[tuple[str, str | None, str], int] = {}

    def read(self, record: dict[str, Any], keys: dict[tuple[str, str], str]) -> None:
        """Note what a record says was taken; `keys` follows rows to their new places."""
        table, kind = record["table"], record["type"].removesuffix("+INIT")
        at = _place(record["block"] if record["old_block"] is None else record["old_block"], record["said"])
        if kind == "INSERT":
            self._take(table, None, at, OWN)
            return
        key = keys.get((table, at))
        self._take(table, key, at, UPDATE if kind == "DELETE" else _read_strength(record["said"]))
        if kind.endswith("UPDATE"):
            new = _place(record["block"], record["said"], "new_off")
            if key is None:
                self._held[table, None, new] = OWN
            else:
                keys[table, new] = key

    def _take(self, table: str, key: str | None, at: str, strength: int) -> None:
        row = (table, key, "" if key else at)
        if strength > self._held.get(row, 0):
            self._held[row] = strength
            self.taken.append(LockedRow(table, key, strength))


def _place(block: int, said: str, name: str = "(?:old_)?off") -> str:
    found = re.search(rf"\b{name}: (\d+)", said)
    assert found, said
    return f"({block},{found[1]})"


def _read_strength(text: str) -> int:
    found = re.search(r"infobits: \[(.*?)\]", text)
    assert found, text
    return _STRENGTHS[frozenset(found[1].split(", ")) - {"", "LOCK_ONLY"}]
