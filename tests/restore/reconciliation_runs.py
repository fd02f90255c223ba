"""One run of the operators' command after a restore, on a real database and keys that are listed in memory."""

from datetime import timedelta
from typing import Any

from operations.reconciliation import ReconcileRestore, RestoreReconciliation
from shared.clock import read_utc_now
from tests.databases import FreshDatabase, make_deadline
from tests.restore.listed_keys import MINUTE, ListedKeys, NothingListed


def add_row(fresh_database: FreshDatabase, key: str, *, ago: timedelta = MINUTE) -> None:
    """The row of a key whose write is there."""
    fresh_database.query_rows(
        "INSERT INTO idempotency_keys (scope, key, fingerprint, created_at) VALUES ('scope', %s, 'asked', %s)",
        key,
        read_utc_now() - ago,
    )


def reconcile(fresh_database: FreshDatabase, keys: ListedKeys, *, seconds: float = 900.0, **command: Any) -> Any:
    """Run the command once; restored to ten minutes ago, unless it says otherwise."""
    command = {"restored_to": read_utc_now() - 10 * MINUTE, **command}
    nothing = NothingListed()
    return RestoreReconciliation(
        ReconcileRestore(command="reconcile-restore", **command),
        fresh_database.make_database(),
        keys,
        nothing,
        nothing,
        nothing,
        read_utc_now,
        make_deadline(seconds),
        "invocation-1",
    ).run()
