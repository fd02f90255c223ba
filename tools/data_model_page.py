"""Generate docs/reference/data-model.md from the schema that the migrations make.

    PYTHONPATH=layers/shared python -m tools.data_model_page [--check]

Starts a PostgreSQL server of its own, migrates it, and reads the catalogue. A test renders the page from its own
database instead (tests/integration/docs).
"""

import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from local import postgres, unprivileged
from shared.database.migrate import migrate
from tools.pages import REFERENCE, ROOT, format_table, write_or_check

PAGE = REFERENCE / "data-model.md"
START_S = 60.0
HEAD = """# Data model

The tables of the database, generated from the schema that the migrations make (`make reference`; `make test` checks
it). Columns that a table's primary key or a foreign key uses are marked PK and FK. Constraints and triggers in
`migrations/` refuse what must be impossible. The states of records are in [state machines](state-machines.md).

"""

# Tables by subject, each with what a row of it is. A table that is missing here fails the generation.
SUBJECTS: dict[str, dict[str, str]] = {
    "People and memberships": {
        "accounts": "a person: one email address, one sign-in",
        "agents": "an agent; its id is the account's",
        "members": "a member; its id is the account's",
        "plans": "a plan with today's price",
        "subscriptions": "a member's membership, extended by each renewal",
        "agent_clients": "which agent brought a member in",
        "membership_reminders": "a reminder of a period's end that was written",
        "member_search": "what a member is found by: name and phone number, folded",
        "greetings": "an address that got an unsolicited mail in the last 24 hours",
    },
    "Commissions and payouts": {
        "commissions": "what an agent earns by a registration or renewal",
        "payouts": "a month's payout run",
        "payout_statements": "what a run pays one agent",
    },
    "Claims": {
        "claims": "a member's case against a company",
        "claim_history": "one transition of a claim",
        "documents": "a file of a claim",
    },
    "Jobs, keys and audit": {
        "outbox": "a job: a mail or a sign-in to be made after the commit",
        "idempotency_keys": "a client's key, with the facts of its answer",
        "audit": "who did what to which record",
    },
    "Rules kept as rows": {
        "agent_moves": "an allowed transition of an agent",
        "commission_moves": "an allowed transition of a commission",
        "claim_states": "a state of claims, and the days after which a claim in it is stuck or overdue",
        "claim_moves": "an allowed transition of a claim",
        "schema_migrations": "a migration that was applied",
    },
}

COLUMNS = """
SELECT c.relname AS "table", a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attnum = ANY (k.conkey)),
       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND a.attnum = ANY (k.conkey))
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
REFERENCES = """
SELECT k.conrelid::regclass::text AS "table", k.confrelid::regclass::text AS target,
       string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns, bool_or(NOT a.attnotnull) AS optional,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indisunique AND i.indpred IS NULL
               AND i.indkey::smallint[] @> k.conkey AND i.indkey::smallint[] <@ k.conkey) AS is_unique
FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace
GROUP BY k.oid, k.conrelid, k.confrelid ORDER BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    table: str
    name: str
    type: str
    is_primary: bool
    is_foreign: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key; a unique one is held by at most one row."""

    table: str
    target: str
    columns: str
    is_optional: bool
    is_unique: bool


def render(connection: psycopg.Connection[Any]) -> str:
    """Return the page for the schema of a database. Raise KeyError for a table that has no subject."""
    columns = [Column(*row) for row in connection.execute(COLUMNS).fetchall()]
    references = [Reference(*row) for row in connection.execute(REFERENCES).fetchall()]
    known = {table for tables in SUBJECTS.values() for table in tables}
    if {column.table for column in columns} != known:
        raise KeyError(f"tables and SUBJECTS differ: {sorted({c.table for c in columns} ^ known)}")
    return HEAD + "\n".join(render_subject(title, columns, references) for title in SUBJECTS)


def render_subject(title: str, columns: Sequence[Column], references: Sequence[Reference]) -> str:
    """Return a subject's section: its tables, and a diagram of their columns and foreign keys."""
    tables = SUBJECTS[title]
    rows = [(f"`{table}`", purpose) for table, purpose in tables.items()]
    diagram = "\n".join(draw_diagram([c for c in columns if c.table in tables], references, tables))
    return f"## {title}\n{format_table(('Table', 'A row is'), rows)}\n```mermaid\n{diagram}\n```\n"


def draw_diagram(columns: Sequence[Column], references: Sequence[Reference], tables: dict[str, str]) -> Iterator[str]:
    """Yield the lines of a Mermaid entity-relationship diagram."""
    yield "erDiagram"
    for table in tables:
        yield f"    {table} {{"
        yield from (f"        {describe(column)}" for column in columns if column.table == table)
        yield "    }"
    for reference in references:
        if reference.table in tables:
            one = "|o" if reference.is_optional else "||"
            many = "o|" if reference.is_unique else "o{"
            yield f'    {reference.target} {one}--{many} {reference.table} : "{reference.columns}"'


def describe(column: Column) -> str:
    """Return a column as Mermaid wants it: a type of one word, the name, its keys."""
    kind = column.type.replace("timestamp with time zone", "timestamptz").replace("double precision", "double")
    kind = kind.replace(" ", "_").replace(",", "_")
    keys = ", ".join(key for key, holds in (("PK", column.is_primary), ("FK", column.is_foreign)) if holds)
    return f"{kind} {column.name} {keys}".rstrip()


def find_free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main(arguments: Sequence[str]) -> int:
    """Start a server, migrate it, and write or check the page; end the server."""
    with tempfile.TemporaryDirectory() as folder:
        runner = unprivileged.choose_user_switch(postgres.find_binaries(), Path(folder))
        server = postgres.PostgresServer(runner.folder, find_free_port(), Path(folder) / "postgres.log", runner)
        child = postgres.start(server, fsync="off")
        try:
            child.wait_until(postgres.make_ready_check(server, child), START_S)
            migrate(server.build_dsn(), ROOT / "migrations")
            with psycopg.connect(server.build_dsn()) as connection:
                text = render(connection)
        finally:
            child.stop()
    return write_or_check(PAGE, text, "make reference", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
