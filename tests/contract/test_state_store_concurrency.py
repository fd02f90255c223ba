"""Many calls at the same instant, each in an execution environment of its own: decided exactly.

Each set of concurrent calls is made twice: to the emulated table, and to one with conflicts as DynamoDB has them.
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from shared.admission import gcra
from shared.admission.ports import (
    AdmissionDecision,
    Admitted,
    InProgress,
    KeyUse,
    LimitCharge,
    RateLimit,
    Replay,
    StoredAnswer,
)
from shared.aws.dynamodb_admission import DynamoDbAdmissionStore
from shared.aws.dynamodb_admission_items import make_bucket_key
from shared.clock import Clock, read_utc_now
from shared.units import SECOND, convert_to_epoch_micros
from tests.contract.dynamodb_clients import (
    FIVE_A_MINUTE,
    LEASE_S,
    ContendedClient,
    admit_in_process,
    ignore_event,
    make_charge,
    make_use,
    read_items,
    read_token,
    run_concurrently,
)
from tests.fakes.clock import ManualClock
from tests.services import EmulatorHandle

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CREATED = StoredAnswer(201, {"ETag": '"1"'}, "{}")
SIZES = pytest.mark.parametrize("calls", [20, 50])


@dataclass(frozen=True, slots=True)
class StoreEnvironments:
    """Execution environments on one table, as many as are asked for."""

    client: Any
    plain: "DynamoDBClient"
    table: str

    def make_environment(self, now: Clock = read_utc_now) -> DynamoDbAdmissionStore:
        return DynamoDbAdmissionStore(self.client, self.table, observer=ignore_event, now=now)

    def admit(
        self, now: Clock, asked: Sequence[tuple[LimitCharge | None, KeyUse | None]], *, take_from: str = ""
    ) -> list[AdmissionDecision]:
        """Let go of calls at once, each in an environment that has seen nothing yet; return the decisions."""

        def call(charge: LimitCharge | None, use: KeyUse | None) -> Callable[[], AdmissionDecision]:
            environment = self.make_environment(now)
            return lambda: environment.admit(charge=charge, use=use, lease_s=LEASE_S, take_from=take_from)

        return run_concurrently([call(charge, use) for charge, use in asked])

    def list_items(self) -> list[str]:
        return sorted(pk.split("#")[0] for pk in read_items(self.plain, self.table))

    def read_tat(self, charge: LimitCharge) -> int:
        return int(read_items(self.plain, self.table)[make_bucket_key(charge)]["tat"]["N"])


@pytest.fixture(params=["plain", "conflicting"])
def environments(request: pytest.FixtureRequest, dynamodb: "DynamoDBClient", state_table: str) -> StoreEnvironments:
    client = dynamodb if request.param == "plain" else ContendedClient(dynamodb)
    return StoreEnvironments(client, dynamodb, state_table)


def count_decisions(decisions: list[AdmissionDecision]) -> Counter[str]:
    """Return how many of each decision."""
    return Counter(type(decision).__name__ for decision in decisions)


@SIZES
@pytest.mark.parametrize("clock", [ManualClock(), read_utc_now], ids=["one-instant", "real-time"])
def test_of_concurrent_calls_from_one_client_exactly_five_are_admitted(
    environments: StoreEnvironments, clock: Clock, calls: int
) -> None:
    """5 / 60: five are admitted, the others limited; five keys and one bucket are left in the table."""
    decisions = environments.admit(clock, [(make_charge(), make_use(f"key-{n}")) for n in range(calls)])
    assert count_decisions(decisions) == {"Admitted": 5, "OverLimit": calls - 5}
    assert environments.list_items() == ["key"] * 5 + ["limit"]


@SIZES
def test_concurrent_calls_without_keys_are_limited_as_exactly(environments: StoreEnvironments, calls: int) -> None:
    """A charge alone is one conditional write, and five of them are made."""
    assert count_decisions(environments.admit(ManualClock(), [(make_charge(), None)] * calls)) == {
        "Admitted": 5,
        "OverLimit": calls - 5,
    }


def test_refused_concurrent_calls_learn_when_the_next_is_admitted(environments: StoreEnvironments) -> None:
    """Of many calls that come after the Retry-After, exactly one is admitted."""
    clock = ManualClock()
    environments.admit(clock, [(make_charge(), make_use(f"key-{n}")) for n in range(20)])
    clock.advance(12)
    decisions = environments.admit(clock, [(make_charge(), make_use(f"later-{n}")) for n in range(20)])
    assert count_decisions(decisions) == {"Admitted": 1, "OverLimit": 19}


def test_a_large_limit_is_as_exact_as_a_small_one(environments: StoreEnvironments) -> None:
    """30 / 60: thirty of fifty, and the bucket is owed exactly thirty intervals."""
    clock, thirty = ManualClock(), make_charge(limit=RateLimit("read", 30, 60))
    decisions = environments.admit(clock, [(thirty, make_use(f"key-{n}")) for n in range(50)])
    assert count_decisions(decisions) == {"Admitted": 30, "OverLimit": 20}
    assert environments.read_tat(thirty) - convert_to_epoch_micros(clock()) == 60 * SECOND


@SIZES
@pytest.mark.parametrize("charged", [make_charge(), None], ids=["charged", "key-only"])
def test_of_concurrent_calls_with_one_key_exactly_one_is_admitted(
    environments: StoreEnvironments, calls: int, charged: LimitCharge | None
) -> None:
    """All others are answered that it runs, and the client is charged once."""
    clock = ManualClock()
    decisions = environments.admit(clock, [(charged, make_use())] * calls)
    assert count_decisions(decisions) == {"Admitted": 1, "InProgress": calls - 1}
    if charged:
        assert environments.read_tat(charged) - convert_to_epoch_micros(clock()) == gcra.compute_interval(FIVE_A_MINUTE)


def test_concurrent_repeated_calls_are_charged_by_the_key(environments: StoreEnvironments) -> None:
    """Five calls with each of four keys: four admitted, sixteen running, nobody limited."""
    decisions = environments.admit(ManualClock(), [(make_charge(), make_use(f"key-{n % 4}")) for n in range(20)])
    assert count_decisions(decisions) == {"Admitted": 4, "InProgress": 16}


def test_concurrent_calls_with_more_keys_than_the_limit_get_five_keys(environments: StoreEnvironments) -> None:
    """Two calls with each of twenty keys: five are admitted, each with a key of its own."""
    asked = [(make_charge(), make_use(f"key-{n // 2}")) for n in range(40)]
    decisions = environments.admit(ManualClock(), asked)
    admitted = [asked[n][1] for n, decision in enumerate(decisions) if isinstance(decision, Admitted)]
    assert len(admitted) == len(set(admitted)) == 5
    assert count_decisions(decisions).keys() <= {"Admitted", "InProgress", "OverLimit"}
    assert environments.list_items() == ["key"] * 5 + ["limit"]


def test_clients_do_not_block_each_other(environments: StoreEnvironments) -> None:
    """Twenty clients at once with a key each are all admitted."""
    asked = [(make_charge(f"client-{n}"), make_use(f"key-{n}")) for n in range(20)]
    assert count_decisions(environments.admit(ManualClock(), asked)) == {"Admitted": 20}


def test_an_ended_lease_has_one_successor(environments: StoreEnvironments) -> None:
    """One of many calls that find a lapsed key takes it over, is charged, and the former holder's answer is lost."""
    clock = ManualClock()
    first = environments.make_environment(clock)
    zombie = read_token(first.admit(charge=None, use=make_use(), lease_s=LEASE_S))
    clock.advance(LEASE_S)
    met = environments.admit(clock, [(make_charge(), make_use())] * 20)
    assert met == [InProgress(1.0, holder=zombie, has_lapsed=True)] * 20
    taken = environments.admit(clock, [(make_charge(), make_use())] * 20, take_from=zombie)
    assert count_decisions(taken) == {"Admitted": 1, "InProgress": 19}
    assert environments.read_tat(make_charge()) == convert_to_epoch_micros(clock()) + gcra.compute_interval(
        FIVE_A_MINUTE
    )
    first.complete(make_use(), zombie, CREATED)
    assert isinstance(first.admit(charge=None, use=make_use(), lease_s=LEASE_S), InProgress)


def test_an_answer_is_stored_while_many_calls_ask_for_it(environments: StoreEnvironments) -> None:
    """The holder's answer is kept though twenty others stand at its key, and then all get it."""
    holder = environments.make_environment()
    token = read_token(holder.admit(charge=make_charge(), use=make_use(), lease_s=LEASE_S))

    def ask() -> AdmissionDecision:
        return environments.make_environment().admit(charge=make_charge(), use=make_use(), lease_s=LEASE_S)

    def answer_and_ask() -> AdmissionDecision:
        holder.complete(make_use(), token, CREATED)
        return ask()

    first, *others = run_concurrently([answer_and_ask, *repeat(ask, 20)])
    assert first == Replay(CREATED)
    assert count_decisions(others).keys() <= {"InProgress", "Replay"}
    assert environments.admit(read_utc_now, [(make_charge(), make_use())] * 20) == [Replay(CREATED)] * 20


def test_the_conflicting_table_does_conflict(dynamodb: "DynamoDBClient", state_table: str) -> None:
    """The calls above that meet conflicts meet many."""
    crowded = ContendedClient(dynamodb)
    environments = StoreEnvironments(crowded, dynamodb, state_table)
    environments.admit(ManualClock(), [(make_charge(), make_use(f"key-{n}")) for n in range(20)])
    assert crowded.conflicts > 10


@pytest.mark.parametrize(
    ("keys", "expected"),
    [(20, {"Admitted": 5, "OverLimit": 15}), (1, {"Admitted": 1, "InProgress": 19})],
    ids=["twenty-keys", "one-key"],
)
def test_twenty_processes_are_decided_exactly(
    emulator: EmulatorHandle, state_table: str, keys: int, expected: dict[str, int]
) -> None:
    """Processes, which share only the table, are decided on as exactly as threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.contract.dynamodb_clients"])
    with context.Manager() as manager, ProcessPoolExecutor(20, mp_context=context) as pool:
        gate = manager.Barrier(20)
        calls = [
            pool.submit(admit_in_process, emulator.url, state_table, make_charge(), make_use(f"key-{n % keys}"), gate)
            for n in range(20)
        ]
        assert Counter(call.result(timeout=60) for call in calls) == expected
