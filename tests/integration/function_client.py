"""Clients of one function on a real database, with fakes for what all environments share."""

import itertools
from datetime import UTC, datetime
from typing import Any

from shared.api.router import Api
from shared.settings import DEFAULT_LIMITS
from tests.api_client import ApiClient, make_claims, make_container
from tests.databases import FreshDatabase
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock
from tests.fakes.relay_waker import FakeRelayWaker

TODAY = datetime(2026, 11, 24, 9, tzinfo=UTC)
GENEROUS = dict.fromkeys(DEFAULT_LIMITS, (100_000, 1.0))

_serial = itertools.count(1)


def get_next_serial() -> int:
    """Return another number at each call."""
    return next(_serial)


def make_client(api: Api[Any], fresh_database: FreshDatabase, **parts: Any) -> ApiClient:
    """Return a client of a function, on a database connection of its own and without limits that matter."""
    changes = {"limits": GENEROUS, "country": parts.pop("country", "XK")}
    settings = fresh_database.settings.model_copy(update=changes)
    clock = parts.pop("clock", ManualClock(TODAY))
    fakes: dict[str, Any] = {
        "database": fresh_database.make_database(),
        "admission_store": InMemoryAdmissionStore(clock),
        "queues": FakeRelayWaker(),
    }
    return ApiClient(api, make_container(settings, clock=clock, **{**fakes, **parts}))


def sign_in(fresh_database: FreshDatabase, account_id: str) -> dict[str, str]:
    """Create the sign-in as the identity job does, and return its token."""
    fresh_database.query_rows("UPDATE accounts SET identity_sub = %s WHERE id = %s", f"sub-{account_id}", account_id)
    role = fresh_database.query_rows("SELECT role FROM accounts WHERE id = %s", account_id)[0]["role"]
    return make_claims(f"sub-{account_id}", role)


def add_agent(fresh_database: FreshDatabase, *, state: str = "active", rate: str | None = None) -> tuple[str, str]:
    """Add an agent straight into the database; return their id and referral code."""
    n = get_next_serial()
    code = f"ARTA-{n:04d}"
    fresh_database.query_rows(
        "WITH a AS (INSERT INTO accounts (id, role, email, full_name, phone, language)"
        " VALUES (gen_random_uuid(), 'agent', %s, 'Arta Krasniqi', '+38344555111', 'sq') RETURNING id)"
        " INSERT INTO agents (id, state, city, referral_code, commission_rate) SELECT id, %s, 'Prizren', %s, %s FROM a",
        f"arta{n}@example.test",
        state,
        code,
        rate,
    )
    return str(fresh_database.query_rows("SELECT id FROM agents WHERE referral_code = %s", code)[0]["id"]), code
