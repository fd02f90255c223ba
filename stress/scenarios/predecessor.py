"""The predecessor in miniature beside the system: `python -m stress.before`, on the same PostgreSQL and SES."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from stress.aws_access import REGION
from stress.fixtures import SignedInUser
from stress.ledger import CallSample, count_answers
from stress.load_generator import LoadGenerator
from stress.local_target import PREDECESSORS_SENDER, LocalCloud
from stress.processes import find_free_port, start, stop
from stress.scenario_context import LocalScenarioContext
from stress.scenarios.compared_systems import ANY_STATUS, ComparedSystem

NAME = "before"
# A database of its own on the same server: the same settings, the same disk, and the same restart.
DATABASE = ROLE = "predecessor"
READY_S = 30.0
POLL_S = 0.05
WARMED_CALLS = 60  # in a burst that is not measured: every thread and connection has worked once
# The members are the same in both systems, since they have the same tokens. With addresses of their own, a mail tells
# which system has sent it.
COPIED = {
    "accounts": "to_jsonb(t) || jsonb_build_object('email', 'before.' || t.email)",
    "members": "to_jsonb(t)",
    "subscriptions": "to_jsonb(t)",
}
USED_NUMBERS = """
SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences WHERE last_value IS NOT NULL
"""


class PredecessorStartError(Exception):
    """The predecessor did not start, or does not serve what it should; the message has its output, or its answers."""


@asynccontextmanager
async def start_predecessor(
    context: LocalScenarioContext, members: Sequence[SignedInUser], claimants: Sequence[SignedInUser]
) -> AsyncIterator[ComparedSystem]:
    """Run the predecessor within the block, with these members."""
    context.show_progress("starting the predecessor")
    ids = [member.id for member in (*members, *claimants)]
    await asyncio.to_thread(_make_database, context.target, context.root, ids)
    port = find_free_port()
    api = f"http://127.0.0.1:{port}/api"
    log = context.state / "predecessor.log"
    with log.open("ab") as output:
        process = start(_build_command(context.target, port), cwd=Path(__file__).parents[2], log=output)
    clock = context.generator.clock
    generator = LoadGenerator(api, context.ledger, clock, _ignore_sample).copy_for_scenario(f"capacity, {NAME}")
    system = ComparedSystem(NAME, generator, context.call_factory, list(members), list(claimants), ANY_STATUS, DATABASE)
    try:
        await _wait_until_ready(api, log)
        _require_accepted(await generator.send_burst(system.make_burst(WARMED_CALLS)))
        yield system
    finally:
        await generator.close()
        await asyncio.to_thread(stop, process)


def _require_accepted(samples: Sequence[CallSample]) -> None:
    """Raise PredecessorStartError unless all were accepted: nothing is in its way yet, so a refusal is our mistake."""
    refused = count_answers([sample for sample in samples if not sample.is_accepted])
    if refused:
        raise PredecessorStartError(f"answers to {len(samples)} calls that it should serve: {refused}")


def _build_command(cloud: LocalCloud, port: int) -> list[str]:
    pool = cloud.aws.outputs["UserPoolId"]
    options = {
        "port": str(port),
        "database": make_conninfo(cloud.build_dsn(), user=ROLE, dbname=DATABASE),
        "mail-endpoint": cloud.mail_line,
        "sender": PREDECESSORS_SENDER,
        "jwks-url": f"{cloud.emulator}/{pool}/.well-known/jwks.json",
        "issuer": f"https://cognito-idp.{REGION}.amazonaws.com/{pool}",
        "client-id": cloud.aws.outputs["UserPoolClientId"],
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "stress.before", *arguments]


def _make_database(cloud: LocalCloud, root: Path, member_ids: Sequence[str]) -> None:
    """Create the database with the schema of the checkout's migrations, and copy the members into it."""
    with psycopg.connect(cloud.build_dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        connection.execute(f"CREATE ROLE {ROLE} LOGIN IN ROLE interdomestik_app".encode())
        rows = {
            table: [row[0] for row in connection.execute(_build_selection(table, columns), {"ids": list(member_ids)})]
            for table, columns in COPIED.items()
        }
        numbers = connection.execute(USED_NUMBERS).fetchall()
    with psycopg.connect(make_conninfo(cloud.build_dsn(), dbname=DATABASE)) as copy:
        copy.execute("CREATE TABLE schema_migrations (version text)")  # one migration grants rights to it
        for path in sorted((root / "migrations").glob("[0-9]*.sql")):
            copy.execute(path.read_bytes())
        for table, documents in rows.items():
            filled = f"INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %s)"  # noqa: S608
            copy.execute(filled.encode(), [Jsonb(documents)])
        for sequence, last in numbers:  # or a new member would get the number of one who was copied
            copy.execute("SELECT setval(%s::text::regclass, %s)", [sequence, last])


def _build_selection(table: str, document: str) -> bytes:
    column = "member_id" if table == "subscriptions" else "id"
    return f"SELECT {document} FROM {table} t WHERE t.{column} = ANY(%(ids)s::uuid[])".encode()  # noqa: S608


async def _wait_until_ready(api: str, log: Path) -> None:
    until = time.monotonic() + READY_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < until:
            try:
                async with session.get(f"{api}/members/me") as reply:
                    if reply.status == 401:  # it has no token
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(POLL_S)
    raise PredecessorStartError(log.read_text(errors="replace")[-2000:])


def _ignore_sample(_sample: CallSample) -> None:
    """Do nothing: its errors are what the comparison is about, none of the run's."""
