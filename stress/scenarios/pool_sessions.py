"""The functions' sessions as PostgreSQL itself shows them: how many, what limits them, and which it has refused.

Nothing here asks the stand-in for RDS Proxy, which keeps the limit that it was given: that says nothing of the product.
"""

import asyncio
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from stress import sql
from stress.ledger import CallSample
from stress.scenario_context import LocalScenarioContext
from stress.scenarios.shared_steps import SENT_S

LOOK_S = 0.03  # between two looks at the sessions: the writes that are watched take twenty times as long
OTHER_SESSIONS = 5  # of the database beyond the functions' (docs/how-to/deploy.md)
ROLE = "interdomestik_jobs"  # of a function that nobody calls while the limits are tried
LIMITED = "too many connections for"  # a role or a database: the server's own max_connections has other words
REFUSED = " 53300 FATAL: "  # too_many_connections, as the server's log has it
SQL = sql.load(Path(__file__).with_suffix(".sql"))


@dataclass(frozen=True)
class SessionPeaks:
    """The most sessions of the functions that PostgreSQL has shown, and the most that were writing at once."""

    open: int = 0
    writing: int = 0
    looks: int = 0


@dataclass(frozen=True)
class RefusedSessions:
    """The result of trying to open more sessions than a role may have, past everything that stands before the server.

    `refused` are those that a limit of the role or the database has stopped. `open` are all sessions of the functions
    while the admitted ones were there; `logged` are the server's own lines.
    """

    admitted: int
    refused: int
    open: int
    logged: int


async def watch_sessions(context: LocalScenarioContext, under_way: "asyncio.Future[Any]") -> SessionPeaks:
    """Return the peaks until the calls under way have ended, seen on a connection of the superuser's own."""
    peaks = SessionPeaks()
    async with await psycopg.AsyncConnection.connect(context.target.build_dsn(), autocommit=True) as connection:
        await asyncio.sleep(SENT_S)  # so as not to disturb the sends
        while not under_way.done():
            row = await (await connection.execute(SQL["sessions"].encode())).fetchone()
            assert row is not None  # noqa: S101 - it counts
            peaks = SessionPeaks(max(peaks.open, row[0]), max(peaks.writing, row[1]), peaks.looks + 1)
            await asyncio.sleep(LOOK_S)
    return peaks


async def count_connections_of_environments(context: LocalScenarioContext, functions: tuple[str, ...]) -> Counter[int]:
    """Return how many environments of these functions have how many connections to a database."""
    pids = {each["pid"] for name in functions for each in await context.target.list_environments(name)}
    ports = {context.target.ports[name] for name in ("database_proxy", "postgres", "standby")}
    return await asyncio.to_thread(_count_connections, pids, ports)


def _count_connections(pids: set[int], ports: set[int]) -> Counter[int]:
    of_each = Counter(dict.fromkeys(pids, 0))
    of_each.update(
        each.pid
        for each in psutil.net_connections("tcp")
        if each.pid in pids and each.raddr and each.raddr.port in ports and each.status == psutil.CONN_ESTABLISHED
    )
    return Counter(of_each.values())


async def read_limits(context: LocalScenarioContext) -> dict[str, Any]:
    """Return the CONNECTION LIMITs that PostgreSQL has: the different ones of the functions' roles, the database's."""
    return (await context.target.query_rows(SQL["limits"]))[0]


def count_logged_refusals(context: LocalScenarioContext) -> int:
    """Return how many sessions the server's log says that it has refused because there were too many."""
    log: Path = context.target.folder / "logs" / "postgres.log"
    return log.read_text(encoding="utf-8", errors="replace").count(REFUSED)


async def open_sessions_directly(context: LocalScenarioContext, count: int) -> RefusedSessions:
    """Open sessions of a function's role on the server itself, past the pool, and close them again."""
    before = count_logged_refusals(context)
    admitted, refused, open_ = await asyncio.to_thread(_open_sessions, context, count)
    return RefusedSessions(admitted, refused, open_, count_logged_refusals(context) - before)


def _open_sessions(context: LocalScenarioContext, count: int) -> tuple[int, int, int]:
    dsn = make_conninfo(context.target.build_dsn(), user=ROLE)
    failures: list[str] = []
    with ExitStack() as opened, psycopg.connect(context.target.build_dsn()) as superuser:
        for _ in range(count):
            try:
                opened.enter_context(psycopg.connect(dsn, autocommit=True))
            except psycopg.OperationalError as error:
                failures.append(str(error))
        row = superuser.execute(SQL["sessions"].encode()).fetchone()
    assert row is not None  # noqa: S101 - it counts
    return count - len(failures), sum(LIMITED in failure for failure in failures), row[0]


def count_turned_away(samples: list[CallSample], within_s: float) -> int:
    """Return how many calls were not done, or took `within_s` or longer because they were turned away and repeated."""
    return sum(not sample.is_accepted or sample.done_s - sample.sent_s >= within_s for sample in samples)
