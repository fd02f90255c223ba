"""One order of rows for all that write: the key, then accounts, agents, members and so on, as the domain says."""

import importlib
import random
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from shared.sql import Query
from tests.databases import Blank
from tests.fakes.evidence import FakeEvidence
from tests.locks.acts import ACTS, CANCEL, Stage, Surrounded, did, writing_operations
from tests.locks.around import Noting, Reversing
from tests.locks.scene import ORDER, set_scene
from tests.locks.wal import Log, Taken, out_of_order

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
    *("shared.outbox.jobs", "shared.outbox.audit"),
)


def staged(blank: Blank, *, database: object = None) -> Stage:
    """An environment on a new scene."""
    evidence = FakeEvidence()
    scene = set_scene(blank, evidence, random.Random(7))
    return Stage(scene, blank.settings, database or blank.database(), evidence, own="own")


def taken_by(blank: Blank, name: str, *, database: object = None) -> list[list[Taken]]:
    """What the transactions of an act take."""
    stage = staged(blank, database=database)
    log = Log(blank)
    assert did(ACTS[name](stage)), name
    return log.transactions()


@pytest.mark.parametrize("name", [name for name in ACTS if name not in SKIPPING])
def test_a_use_case_takes_its_rows_in_the_one_order(blank: Blank, name: str) -> None:
    """Whatever took them: a lock, a write, or the foreign key of an insert."""
    transactions = taken_by(blank, name)
    assert transactions
    assert [late for transaction in transactions if (late := out_of_order(transaction))] == []


def test_a_first_call_takes_its_own_account_before_all_others(blank: Blank) -> None:
    """Its address is proven by it. Nobody who holds another account waits for a staff member's."""
    stage = staged(blank)
    blank.rows("UPDATE accounts SET proven_at = NULL WHERE id = %s", stage.scene.staff)
    log = Log(blank)
    assert did(ACTS[f"{CANCEL} by staff"](stage))
    [transaction] = log.transactions()
    own = str(stage.scene.staff)
    accounts = [taken.key for taken in transaction if taken.table == "accounts"]
    assert (accounts[0], accounts.count(own)) == (own, 1)
    assert out_of_order([taken for taken in transaction if taken.key != own]) == []


def test_the_order_would_be_seen_to_be_another(blank: Blank) -> None:
    """The same statements the other way round take their rows out of order."""
    database = Surrounded(blank.database(), Reversing)
    [transaction] = taken_by(blank, f"{CANCEL} by staff", database=database)
    assert {taken.table for taken in out_of_order(transaction)} >= {"accounts", "members"}


@contextmanager
def held(blank: Blank) -> Iterator[None]:
    """Within the block another session holds every row there is."""
    with psycopg.connect(blank.postgres.conninfo(user="postgres", dbname=blank.name)) as connection:
        for table in ORDER:
            connection.execute(f"SELECT FROM {table} FOR UPDATE".encode())
        yield


@pytest.mark.parametrize("name", SKIPPING)
def test_what_takes_rows_as_they_come_waits_for_nobody(blank: Blank, name: str) -> None:
    """It ends, with nothing done, while all of them are held."""
    stage = staged(blank)
    with held(blank):
        assert not did(ACTS[name](stage)) or name == "relay without a queue"


@pytest.mark.parametrize("name", ["relay", "relay without a queue"])
def test_a_relay_marks_what_it_has_published_without_waiting(blank: Blank, name: str) -> None:
    """A worker may have a job already, and its claim is newer than the mark."""
    stage = staged(blank)
    publish = stage.queues.publish
    with ExitStack() as holding:

        def publish_and_hold(*args: object) -> object:
            holding.enter_context(held(blank))
            return publish(*args)  # type: ignore[arg-type]

        stage.queues.publish = publish_and_hold  # type: ignore[assignment, method-assign]
        assert did(ACTS[name](stage))


def test_every_operation_that_writes_is_among_them() -> None:
    """A new one is missed here before it deadlocks anywhere."""
    operations = {" ".join(name.split()[:2]) for name in ACTS}
    assert writing_operations() <= operations


def test_every_statement_that_takes_a_row_is_run_by_one_of_them(blank: Blank) -> None:
    """Sections of the rooms' `.sql` files; the key's own stand before all of them."""
    run: set[Query] = set()
    for act in ACTS.values():
        stage = staged(blank, database=Surrounded(blank.database(), lambda tx: Noting(tx, run)))
        assert did(act(stage))
    files = {module: importlib.import_module(module).SQL for module in WITH_STATEMENTS}
    claims = files["claims.service"]
    listed = claims["claims"]  # what is wrapped around it is run as one statement with it
    files["record_list"] = {"record_list": Query(claims["record_list"].replace("{page}", listed))}
    sections = {name: query for file in files.values() for name, query in file.items() if LOCKING.search(query)}
    assert {name for name, query in sections.items() if query not in run} == set()
