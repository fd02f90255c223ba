"""Pairs of use cases that take the same rows concurrently, in two environments and opposite orders."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

from shared.database.pipeline import Database
from tests.databases import FreshDatabase
from tests.failover.servers import wait_until
from tests.fakes.documents import FakeDocumentStore
from tests.lock_order.sample_records import SampleRecords, write_sample_records
from tests.lock_order.transaction_wrappers import SlowTransaction
from tests.lock_order.wal_reader import WalReader
from tests.lock_order.write_operations import ACTS, Around, OperationEnvironment, WrappedDatabase, has_succeeded
from tests.roles import SESSION_OF_A_FUNCTION, RoleConnector

DEADLOCK = "40P01"
# Found at once, instead of after the second that a deadlock may last by default.
DEADLOCK_TIMEOUT = "10ms"
ROUND_S = 60.0

_SESSIONS = f"SELECT FROM pg_stat_activity WHERE {SESSION_OF_A_FUNCTION} AND datname = current_database()"

Pair = tuple[str, str]


def list_locked_rows(fresh_database: FreshDatabase, name: str) -> frozenset[tuple[str, str]]:
    """Return the rows that an act takes of those that were there, by their names in the sample records."""
    sample, evidence = _make_records(fresh_database, random.Random(0))
    log = WalReader(fresh_database)
    ACTS[name](
        OperationEnvironment(sample, fresh_database.settings, fresh_database.make_database(), evidence, own="alone")
    )
    names = sample.name_ids()
    taken = (row for transaction in log.read_transactions() for row in transaction if row.key)
    return frozenset((row.table, names.get(row.key or "", row.key or "")) for row in taken)


def list_sharing_pairs(fresh_database: FreshDatabase) -> list[Pair]:
    """Return every pair of acts of which one takes a row that the other takes too; each with itself."""
    rows = {name: list_locked_rows(fresh_database, name) for name in ACTS}
    return [(a, b) for a, b in combinations_with_replacement(ACTS, 2) if a == b or rows[a] & rows[b]]


def _make_records(fresh_database: FreshDatabase, order: random.Random) -> tuple[SampleRecords, FakeDocumentStore]:
    evidence = FakeDocumentStore()
    return write_sample_records(fresh_database, evidence, order), evidence


@dataclass
class ContentionTest:
    """Two environments with databases of their own, which dawdle, and what was seen of them."""

    fresh_database: FreshDatabase
    seed: int
    around: Mapping[str, Around] = field(default_factory=dict)  # put around the transactions of single acts
    deadlocks: int = 0
    rounds: int = 0
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()
        self._databases = [self._make_database() for _ in range(2)]
        self.fresh_database.postgres.execute(
            f"ALTER DATABASE {self.fresh_database.name} SET deadlock_timeout = '{DEADLOCK_TIMEOUT}'"
        )
        self._before = self._read_deadlocks()

    def run_round(self, pair: Pair) -> None:
        """Run one round: a then b here, b then a there, at once; with keys of their own, or the same ones."""
        sample, evidence = _make_records(self.fresh_database, self._random)
        # Every call of staff and agents is their first, which takes their own account as well.
        self.fresh_database.query_rows("UPDATE accounts SET proven_at = NULL WHERE role <> 'member'")
        own = self._random.choice([("here", "there"), ("both", "both")])
        start = threading.Barrier(2)
        threads = [
            threading.Thread(
                target=self._run_operation, args=(start, names, self._make_environment(n, sample, evidence, own[n]))
            )
            for n, names in enumerate([pair, pair[::-1]])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(ROUND_S)
            assert not thread.is_alive(), pair
        self.rounds += 1

    def count_server_deadlocks(self) -> int:
        """Deadlocks since this was made, as PostgreSQL has counted them."""
        return self._read_deadlocks() - self._before

    def _run_operation(
        self, start: threading.Barrier, names: Pair, stages: Callable[[str], OperationEnvironment]
    ) -> None:
        start.wait(ROUND_S)
        for name in names:
            try:
                done = has_succeeded(ACTS[name](stages(name)))
                with self._lock:
                    self.done[name] += done
            except Exception as error:  # noqa: BLE001 - raised by whoever reads them
                self.failures.append(f"{name}: {error!r}")

    def _make_environment(
        self, n: int, sample: SampleRecords, evidence: FakeDocumentStore, own: str
    ) -> Callable[[str], OperationEnvironment]:
        uniform = random.Random(self._random.random()).uniform

        def make_one(name: str) -> OperationEnvironment:
            database = WrappedDatabase(self._databases[n], lambda tx: SlowTransaction(tx, uniform))
            if name in self.around:
                database = WrappedDatabase(database, self.around[name])
            return OperationEnvironment(sample, self.fresh_database.settings, database, evidence, own=own)

        return make_one

    def _make_database(self) -> Database:
        connector = RoleConnector(self.fresh_database.settings)
        return Database(connector, observer=self._observe)

    def _observe(self, event: str, facts: Mapping[str, object]) -> None:
        if event == "transaction_retried" and facts["sqlstate"] == DEADLOCK:
            with self._lock:
                self.deadlocks += 1

    def _read_deadlocks(self) -> int:
        self.fresh_database.cut_connections()  # a session reports what it has counted when it ends, at the latest
        wait_until(lambda: not self.fresh_database.query_rows(_SESSIONS), "a session did not end")
        rows = self.fresh_database.query_rows(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        return int(rows[0]["deadlocks"])


def shuffle_rounds(pairs: list[Pair], times: int, seed: int) -> Iterator[Pair]:
    """Yield each pair `times` times, in an order that the seed decides."""
    rounds = pairs * times
    random.Random(seed).shuffle(rounds)
    yield from rounds
