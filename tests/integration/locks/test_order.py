"""All use cases take rows in one order: the key, then accounts, agents, members and so on, as decision 12 says."""

import importlib
import random
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from shared.sql import Query
from tests.databases import FreshDatabase
from tests.fakes.documents import FakeDocumentStore
from tests.lock_order.sample_records import ORDER, write_sample_records
from tests.lock_order.transaction_wrappers import RecordingTransaction, ReversedTransaction
from tests.lock_order.wal_reader import LockedRow, WalReader, find_out_of_order
from tests.lock_order.write_operations import (
    ACTS,
    CANCEL,
    OperationEnvironment,
    WrappedDatabase,
    has_succeeded,
    list_writing_operations,
)

# These take many rows as they come, and leave what another holds to the next run: they wait for nobody.
SKIPPING = (
    "housekeeping update_subscription_states", "housekeeping delete_old_unsolicited_mails",
    "housekeeping delete_old_jobs", "housekeeping delete_old_keys",
    "housekeeping remind_members", "relay", "relay without a queue",
)  # fmt: skip

LOCKING = re.compile(r"\b(INSERT|UPDATE|DELETE|FOR (NO KEY |KEY )?(UPDATE|SHARE))\b")
WITH_STATEMENTS = (
    *("agents.service", "members.service", "claims.service", "jobs_api.service"),
    *("relay.app", "worker.job_runner", "housekeeping.app", "operations.staff", "operations.free_address"),
    "operations.reconciliation",
    *("shared.outbox.jobs", "shared.outbox.audit"),
)
# The only statement of its transaction, which inserts one row: it holds no lock while it waits for another.
ALONE = {"record_migrations"}


def make_runner(fresh_database: FreshDatabase, *, database: object = None) -> OperationEnvironment:
    """Return an environment on a new sample."""
    evidence = FakeDocumentStore()
    records = write_sample_records(fresh_database, evidence, random.Random(7))
    return OperationEnvironment(
        records, fresh_database.settings, database or fresh_database.make_database(), evidence, own="own"
    )


def list_taken_rows(fresh_database: FreshDatabase, name: str, *, database: object = None) -> list[list[LockedRow]]:
    """Return the rows that an operation's transactions take."""
    environment = make_runner(fresh_database, database=database)
    log = WalReader(fresh_database)
    assert has_succeeded(ACTS[name](environment)), name
    return log.read_transactions()


@pytest.mark.parametrize("name", [name for name in ACTS if name not in SKIPPING])
def test_a_use_case_takes_its_rows_in_the_one_order(fresh_database: FreshDatabase, name: str) -> None:
    """A lock, a write and the foreign key of an insert all take rows."""
    transactions = list_taken_rows(fresh_database, name)
    assert transactions
    assert [late for transaction in transactions if (late := find_out_of_order(transaction))] == []


def test_a_first_call_takes_its_own_account_before_all_others(fresh_database: FreshDatabase) -> None:
    """Its address is proven by it. Nobody who holds another account waits for a staff member's."""
    environment = make_runner(fresh_database)
    fresh_database.query_rows("UPDATE accounts SET proven_at = NULL WHERE id = %s", environment.records.staff)
    log = WalReader(fresh_database)
    assert has_succeeded(ACTS[f"{CANCEL} by staff"](environment))
    [transaction] = log.read_transactions()
    own = str(environment.records.staff)
    accounts = [taken.key for taken in transaction if taken.table == "accounts"]
    assert (accounts[0], accounts.count(own)) == (own, 1)
    assert find_out_of_order([taken for taken in transaction if taken.key != own]) == []


def test_the_order_would_be_seen_to_be_another(fresh_database: FreshDatabase) -> None:
    """The same statements the other way round take their rows out of order."""
    database = WrappedDatabase(fresh_database.make_database(), ReversedTransaction)
    [transaction] = list_taken_rows(fresh_database, f"{CANCEL} by staff", database=database)
    assert {taken.table for taken in find_out_of_order(transaction)} >= {"accounts", "members"}


@contextmanager
def hold_all_rows(fresh_database: FreshDatabase) -> Iterator[None]:
    """Within the block another session holds every row there is."""
    with psycopg.connect(
        fresh_database.postgres.build_conninfo(user="postgres", dbname=fresh_database.name)
    ) as connection:
        for table in ORDER:
            connection.execute(f"SELECT FROM {table} FOR UPDATE".encode())
        yield


@pytest.mark.parametrize("name", SKIPPING)
def test_what_takes_rows_as_they_come_waits_for_nobody(fresh_database: FreshDatabase, name: str) -> None:
    """It ends, with nothing done, while all of them are held."""
    environment = make_runner(fresh_database)
    with hold_all_rows(fresh_database):
        assert not has_succeeded(ACTS[name](environment)) or name == "relay without a queue"


@pytest.mark.parametrize("name", ["relay", "relay without a queue"])
def test_a_relay_marks_what_it_has_published_without_waiting(fresh_database: FreshDatabase, name: str) -> None:
    """A worker may have a job already, and its claim is newer than the mark."""
    environment = make_runner(fresh_database)
    publish = environment.queues.publish
    with ExitStack() as holding:

        def publish_and_hold(*args: object, **options: object) -> object:
            holding.enter_context(hold_all_rows(fresh_database))
            return publish(*args, **options)  # type: ignore[arg-type]

        environment.queues.publish = publish_and_hold  # type: ignore[assignment, method-assign]
        assert has_succeeded(ACTS[name](environment))


def test_every_operation_that_writes_is_among_them() -> None:
    """A new one is missed here before it deadlocks anywhere."""
    operations = {" ".join(name.split()[:2]) for name in ACTS}
    assert list_writing_operations() <= operations


def test_every_statement_that_takes_a_row_is_run_by_one_of_them(fresh_database: FreshDatabase) -> None:
    """Sections of the functions' `.sql` files; the key's own stand before all of them."""
    run: set[Query] = set()
    for act in ACTS.values():
        environment = make_runner(
            fresh_database,
            database=WrappedDatabase(fresh_database.make_database(), lambda tx: RecordingTransaction(tx, run)),
        )
        assert has_succeeded(act(environment))
    files = {module: importlib.import_module(module).SQL for module in WITH_STATEMENTS}
    claims = files["claims.service"]
    listed = claims["claims"]  # what is wrapped around it is run as one statement with it
    files["record_list"] = {"record_list": Query(claims["record_list"].replace("{page}", listed))}
    sections = {name: query for file in files.values() for name, query in file.items() if LOCKING.search(query)}
    assert {name for name, query in sections.items() if query not in run} == ALONE
