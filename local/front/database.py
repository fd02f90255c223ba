"""The front page's reads of the database: jobs by state, the jobs of requests, and audit entries."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from local.front.model import JobLine, OutboxLine, TraceStep, format_time

QUERIES = Path(__file__).with_name("queries.sql")
CONNECT_S = 2
STATEMENT_MS = 3000  # a page must not wait for a table of millions, or for a lock
NEWEST = 5000  # jobs and entries that are searched for those of a request
# in which a job moves; the order of the page
STATES = ("pending", "queued", "running", "uncertain", "failed", "done", "dismissed")


class DatabaseReader:
    """Reads through a connection of its own for each call; `conninfo` is empty if there is no database."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo

    def count_jobs(self) -> list[OutboxLine]:
        """Return a line for each state, also for one that no job is in. Raise OSError if the database can't answer."""
        found = {row["state"]: row for row in self._fetch("count_jobs")}
        none = {"jobs": 0, "oldest_s": None}
        return [OutboxLine(state, **_pick(found.get(state, none), "jobs", "oldest_s")) for state in STATES]

    def list_unfinished_jobs(self, count: int) -> list[JobLine]:
        """Return the oldest jobs that are not done. Raise OSError."""
        return [_make_job(row) for row in self._fetch("list_unfinished_jobs", count=count)]

    def list_jobs(self, ids: Iterable[str]) -> list[JobLine]:
        """Return the jobs that these requests or traces have caused, the oldest first. Raise OSError."""
        return [_make_job(row) for row in self._fetch("list_jobs", ids=list(ids), most=NEWEST)]

    def list_entries(self, ids: Iterable[str]) -> list[TraceStep]:
        """Return the audit entries that these requests have caused, as steps, the oldest first. Raise OSError."""
        return [_make_entry(row) for row in self._fetch("list_entries", ids=list(ids), most=NEWEST)]

    def _fetch(self, name: str, **values: object) -> Sequence[dict[str, Any]]:
        # Imported at the first view, so that it doesn't delay the gateway's start.
        import psycopg
        from psycopg.rows import dict_row

        if not self.conninfo:
            raise OSError("this gateway was started without a database")
        options = f"-c statement_timeout={STATEMENT_MS} -c default_transaction_read_only=on"
        try:
            with psycopg.connect(
                self.conninfo, autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_S, options=options
            ) as connection:
                return connection.execute(_load_queries()[name].encode(), values).fetchall()
        except psycopg.Error as error:
            raise OSError(f"the database does not answer: {type(error).__name__}") from error


@cache
def _load_queries() -> dict[str, str]:
    pieces = re.split(r"(?m)^-- name: (\w+)$", QUERIES.read_text(encoding="utf-8"))
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _pick(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _make_job(row: dict[str, Any]) -> JobLine:
    return JobLine(
        id=str(row["id"]),
        created_at=format_time(row["created_at"].timestamp()),
        **_pick(row, "kind", "template", "priority", "state", "attempts", "error", "request_id"),
    )


def _make_entry(row: dict[str, Any]) -> TraceStep:
    facts = {"actor": row["actor"], "subject_id": str(row["subject_id"])}
    return TraceStep(format_time(row["at"].timestamp()), "record", "audit", row["action"], facts)
