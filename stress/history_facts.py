"""The facts beside a run's calls: the commits in PostgreSQL's own log, and what the database and the inbox hold.

A commit's record in the write-ahead log has its transaction, its position (LSN) and its time; pg_walinspect reads it by
SQL. Positions are exact and have no ties, unlike `pg_xact_commit_timestamp`, whose times need not follow the log.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from stress import sql
from stress.commit_times import CommitTime, list_commit_times
from stress.history import FILE, write_history
from stress.ledger import CallLedger

if TYPE_CHECKING:
    from stress.load_generator import RunClock
    from stress.local_target import LocalCloud

SQL = sql.load(Path(__file__).with_suffix("").with_name("history.sql"))
ROOT = Path(__file__).resolve().parents[1]
KEPT_LOG = "4GB"  # more than a run writes: a checkpoint would otherwise recycle the log before it is read
DESK = "desk"
WRITER, STANDBY = "postgres", "standby"
JUDGE_S = 300.0


class HistoryFacts:
    """The facts of a run on a local cloud; `begin` must come before its first call."""

    def __init__(self, cloud: "LocalCloud", clock: "RunClock") -> None:
        self._cloud = cloud
        self._clock = clock
        self._since = ""
        self._readings: list[dict[str, float]] = []

    async def begin(self) -> None:
        """Have the servers keep their log, and note where it ends now and which transaction writes each key."""
        await self._cloud.query_rows("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        await asyncio.to_thread(self._query, WRITER, SQL["note_keys"])
        for server in self._list_servers():
            await asyncio.to_thread(self._query, server, f"ALTER SYSTEM SET wal_keep_size = '{KEPT_LOG}'")
            await asyncio.to_thread(self._query, server, "SELECT pg_reload_conf()")
        self._since = (await self._cloud.query_rows(SQL["position"]))[0]["lsn"]
        await self.read_clock()

    async def read_clock(self) -> None:
        """Read the database's clock between two readings of the run's."""
        with psycopg.connect(self._cloud.build_dsn(), autocommit=True) as connection:
            for _ in range(5):
                before = self._clock.read_now()
                row = connection.execute(SQL["clock"].encode()).fetchone()
                after = self._clock.read_now()
                self._readings.append({"before": before, "database": float(row[0]) if row else 0.0, "after": after})

    async def write(self, ledger: CallLedger, folder: Path) -> tuple[Path, list[CommitTime]]:
        """Write the history of all calls to this cloud; return its path, and when the writes among them committed."""
        await self.read_clock()
        facts = await self._collect()
        samples = [sample for sample in ledger.samples if sample.api == self._cloud.api]
        await asyncio.to_thread(write_history, samples, facts, folder / FILE)
        return folder / FILE, list_commit_times(samples, facts)

    async def _collect(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        query = self._cloud.query_rows
        accounts = {row["email"]: row["id"] for row in await query(SQL["accounts"])}
        return {
            "clock": self._readings,
            "commit": await asyncio.to_thread(self._read_commits),
            "audit": await query(SQL["audits"]),
            "key": await query(SQL["keys"]),
            "row": await query(SQL["rows"]),
            "job": await query(SQL["jobs"]),
            "mail": _describe_mails(await self._cloud.read_mails(), accounts),
        }

    def _list_servers(self) -> list[str]:
        return [server for server in (WRITER, STANDBY) if server in self._cloud.ports]

    def _query(self, server: str, query: str, **params: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self._cloud.build_dsn(server), autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), params or None)
            return cursor.fetchall() if cursor.description is not None else []

    def _read_commits(self) -> list[dict[str, Any]]:
        """Return the commits in the log of the writer; after a failover first those before it, from the old writer."""
        if self._cloud.writer_port == WRITER:
            return self._read_log(WRITER, self._since)
        switch = self._query(STANDBY, SQL["switch"])[0]["lines"].strip().splitlines()[-1].split()[1]
        return [*self._read_log(WRITER, self._since, switch), *self._read_log(STANDBY, switch)]

    def _read_log(self, server: str, since: str, until: str = "") -> list[dict[str, Any]]:
        end = until or self._query(server, "SELECT pg_current_wal_flush_lsn()::text AS lsn")[0]["lsn"]
        rows = self._query(server, SQL["commits"], since=since, until=end)
        return [
            {"xid": int(xid), "lsn": row["lsn"], "at": row["at"]}
            for row in rows
            for xid in [row["xid"], *row["also"].split()]
        ]


def _describe_mails(mails: Sequence[Mapping[str, Any]], accounts: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the mails by request and recipient's account; whoever has none is the claims desk."""
    return [
        {"request": str(mail["headers"].get("X-Request-Id", "")), "to": accounts.get(address.lower(), DESK)}
        for mail in mails
        for address in mail["to"]
    ]


async def judge_history(folder: Path) -> dict[str, Any]:
    """Return the verdict of the checker, which runs as a process of its own."""
    command = [sys.executable, "-m", "judge.history", str(folder.resolve())]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), JUDGE_S)
    verdict: dict[str, Any] = json.loads(output)
    return verdict
