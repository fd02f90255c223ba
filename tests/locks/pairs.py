"""Use cases that take the same rows, against each other, each of two environments in the other's opposite order."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

from shared.database.pipeline import Database
from tests.databases import Blank
from tests.failover.servers import wait_until
from tests.fakes.evidence import FakeEvidence
from tests.locks.acts import ACTS, Around, Stage, Surrounded, did
from tests.locks.around import Dawdling
from tests.locks.scene import Scene, set_scene
from tests.locks.wal import Log
from tests.roles import SESSION_OF_A_FUNCTION, RoleConnector

DEADLOCK = "40P01"
# Found at once, instead of after the second that a deadlock may last by default.
DEADLOCK_TIMEOUT = "10ms"
ROUND_S = 60.0

_SESSIONS = f"SELECT FROM pg_stat_activity WHERE {SESSION_OF_A_FUNCTION} AND datname = current_database()"

Pair = tuple[str, str]


def taken_rows(blank: Blank, name: str) -> frozenset[tuple[str, str]]:
    """The rows that an act takes of those that were there, by what they are in the scene."""
    scene, evidence = _scene(blank, random.Random(0))
    log = Log(blank)
    ACTS[name](Stage(scene, blank.settings, blank.database(), evidence, own="alone"))
    names = scene.names()
    taken = (row for transaction in log.transactions() for row in transaction if row.key)
    return frozenset((row.table, names.get(row.key or "", row.key or "")) for row in taken)


def sharing(blank: Blank) -> list[Pair]:
    """Every pair of acts of which one takes a row that the other takes too; each with itself."""
    rows = {name: taken_rows(blank, name) for name in ACTS}
    return [(a, b) for a, b in combinations_with_replacement(ACTS, 2) if a == b or rows[a] & rows[b]]


def _scene(blank: Blank, order: random.Random) -> tuple[Scene, FakeEvidence]:
    evidence = FakeEvidence()
    return set_scene(blank, evidence, order), evidence


@dataclass
class Arena:
    """Two environments with databases of their own, which dawdle, and what was seen of them."""

    blank: Blank
    seed: int
    around: Mapping[str, Around] = field(default_factory=dict)  # put around the transactions of single acts
    deadlocks: int = 0
    rounds: int = 0
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()
        self._databases = [self._database() for _ in range(2)]
        self.blank.postgres.execute(f"ALTER DATABASE {self.blank.name} SET deadlock_timeout = '{DEADLOCK_TIMEOUT}'")
        self._before = self._counted()

    def fight(self, pair: Pair) -> None:
        """One round: a then b here, b then a there, at once; with keys of their own, or the same ones."""
        scene, evidence = _scene(self.blank, self._random)
        # Every call of staff and agents is their first, which takes their own account as well.
        self.blank.rows("UPDATE accounts SET proven_at = NULL WHERE role <> 'member'")
        own = self._random.choice([("here", "there"), ("both", "both")])
        start = threading.Barrier(2)
        threads = [
            threading.Thread(target=self._act, args=(start, names, self._stage(n, scene, evidence, own[n])))
            for n, names in enumerate([pair, pair[::-1]])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(ROUND_S)
            assert not thread.is_alive(), pair
        self.rounds += 1

    def counted_by_the_server(self) -> int:
        """Deadlocks since this was made, as PostgreSQL has counted them."""
        return self._counted() - self._before

    def _act(self, start: threading.Barrier, names: Pair, stages: Callable[[str], Stage]) -> None:
        start.wait(ROUND_S)
        for name in names:
            try:
                done = did(ACTS[name](stages(name)))
                with self._lock:
                    self.done[name] += done
            except Exception as error:  # noqa: BLE001 - told by whoever looks at them
                self.failures.append(f"{name}: {error!r}")

    def _stage(self, n: int, scene: Scene, evidence: FakeEvidence, own: str) -> Callable[[str], Stage]:
        uniform = random.Random(self._random.random()).uniform

        def stage(name: str) -> Stage:
            database = Surrounded(self._databases[n], lambda tx: Dawdling(tx, uniform))
            if name in self.around:
                database = Surrounded(database, self.around[name])
            return Stage(scene, self.blank.settings, database, evidence, own=own)

        return stage

    def _database(self) -> Database:
        connector = RoleConnector(self.blank.settings)
        return Database(connector, observer=self._observe)

    def _observe(self, event: str, facts: Mapping[str, object]) -> None:
        if event == "transaction_retried" and facts["sqlstate"] == DEADLOCK:
            with self._lock:
                self.deadlocks += 1

    def _counted(self) -> int:
        self.blank.cut_connections()  # a session tells what it has counted when it ends, at the latest
        wait_until(lambda: not self.blank.rows(_SESSIONS), "a session did not end")
        rows = self.blank.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(rows[0]["deadlocks"])


def shuffled_rounds(pairs: list[Pair], times: int, seed: int) -> Iterator[Pair]:
    """Each pair so many times, in an order that the seed decides."""
    rounds = pairs * times
    random.Random(seed).shuffle(rounds)
    yield from rounds
