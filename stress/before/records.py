"""The rows of people and claims: each use case is one transaction on a connection of the pool."""

import re
import secrets
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from stress.before.model import ApplicationBody, ClaimBody, RegistrationBody
from stress.before.problems import RequestRefused

POOL_SIZE = 10
TIME_ZONE = ZoneInfo("Europe/Belgrade")
CODE_ATTEMPTS = 3
CODE_CHARACTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _load_statements(path: Path) -> dict[str, bytes]:
    _, *parts = re.split(r"^-- name: (\w+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text.strip().encode() for name, text in zip(parts[::2], parts[1::2], strict=True)}


SQL = _load_statements(Path(__file__).with_name("queries.sql"))
DictConnection = Connection[DictRow]


def make_pool(conninfo: str) -> ConnectionPool[DictConnection]:
    """Return a pool that is not open yet; a request waits for a connection as long as the library's default, 30 s."""
    return ConnectionPool(
        conninfo,
        connection_class=DictConnection,
        kwargs={"row_factory": dict_row},
        min_size=POOL_SIZE,
        max_size=POOL_SIZE,
        open=False,
    )


class RecordStore:
    """The use cases on the database: each waits for a connection of the pool, and gives it back after its commit.

    A method raises RequestRefused, or what the pool or the server raises.
    """

    def __init__(self, pool: ConnectionPool[DictConnection]) -> None:
        self._pool = pool

    def add_agent(self, body: ApplicationBody) -> dict[str, Any]:
        """Write an application; return the agent."""
        agent_id = _make_record_id()
        with self._pool.connection() as connection:
            _insert_account(connection, agent_id, "agent", body)
            for _ in range(CODE_ATTEMPTS):
                row = {"id": agent_id, "city": body.city, "referral_code": _make_referral_code(body.full_name)}
                if connection.execute(SQL["insert_agent"], row).fetchone():
                    break
            return _fetch_record(connection, "select_agent", id=agent_id)

    def add_member(self, body: RegistrationBody) -> dict[str, Any]:
        """Write a registration; return the member."""
        member_id = _make_record_id()
        row = {"id": member_id, "today": _read_today(), "country": body.country, "plan": body.plan}
        with self._pool.connection() as connection:
            _insert_account(connection, member_id, "member", body)
            row["agent_id"] = agent_id = _find_agent(connection, body.referral_code)
            connection.execute(SQL["insert_member"], row)
            connection.execute(SQL["insert_subscription"], row)
            if agent_id:
                connection.execute(SQL["insert_agent_client"], row)
            return _fetch_record(connection, "select_member", id=member_id, today=row["today"])

    def add_claim(self, body: ClaimBody, sub: str) -> tuple[dict[str, Any], str]:
        """Write a claim of the caller; return it and the caller's mail address."""
        with self._pool.connection() as connection:
            claimant = connection.execute(SQL["select_claimant"], {"sub": sub}).fetchone()
            if claimant is None:
                raise RequestRefused("membership-required")
            row = {"id": _make_record_id(), "member_id": claimant["id"], "today": _read_today(), **body.model_dump()}
            connection.execute(SQL["insert_claim"], row)
            connection.execute(SQL["insert_first_history"], row)
            return _fetch_record(connection, "select_claim", id=row["id"]), claimant["email"]

    def read_own_member(self, sub: str) -> dict[str, Any]:
        """Return the caller's own record."""
        with self._pool.connection() as connection:
            return _fetch_record(connection, "select_own_member", sub=sub, today=_read_today())

    def list_own_claims(self, sub: str, after: UUID | None, count: int) -> list[dict[str, Any]]:
        """Return at most `count` claims of the caller, newest first, from below the id `after`."""
        with self._pool.connection() as connection:
            rows = connection.execute(SQL["select_own_claims"], {"sub": sub, "after": after, "count": count})
            return [row["record"] for row in rows]


def _insert_account(
    connection: DictConnection, account_id: UUID, role: str, body: ApplicationBody | RegistrationBody
) -> None:
    person = body.model_dump(include={"email", "full_name", "phone", "language", "terms_version"})
    connection.execute(SQL["insert_account"], {"id": account_id, "role": role, **person})


def _find_agent(connection: DictConnection, referral_code: str | None) -> UUID | None:
    if referral_code is None:
        return None
    found = connection.execute(SQL["select_referring_agent"], {"referral_code": referral_code}).fetchone()
    if found is None:
        raise RequestRefused("referral-code-unknown")
    return UUID(str(found["id"]))


def _fetch_record(connection: DictConnection, statement: str, **params: Any) -> dict[str, Any]:
    found = connection.execute(SQL[statement], params).fetchone()
    if found is None:
        raise RequestRefused("not-found")
    record: dict[str, Any] = found["record"]
    return record


def _make_record_id() -> UUID:
    """Return a UUIDv7, which sorts by its time."""
    stamp, dice = time.time_ns() // 1_000_000, secrets.randbits(76)
    return UUID(int=stamp << 80 | 0x7 << 76 | (dice >> 64 & 0xFFF) << 64 | 0b10 << 62 | dice & (1 << 62) - 1)


def _make_referral_code(full_name: str) -> str:
    letters = "".join(c for c in full_name.split()[0].upper() if "A" <= c <= "Z")[:8] or "AGENT"
    return f"{letters}-{''.join(secrets.choice(CODE_CHARACTERS) for _ in range(4))}"


def _read_today() -> date:
    return datetime.now(TIME_ZONE).date()
