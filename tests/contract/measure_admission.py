"""The gain of one round trip: `.venvs/dev/bin/python -m tests.contract.measure_admission` (PYTHONPATH=layers/shared).

Times new work through admit() (key and limit in one transaction) and through a limiter followed by Powertools'
idempotency layer, turn by turn on the emulator, and prints the medians and their ratio; once as it is, and once
with 3 ms added to each call, which is about what a table in the same region takes.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig

from shared.admission.ports import RateLimit
from shared.aws.dynamodb_admission import DynamoDbAdmissionStore
from tests.contract.dynamodb_clients import (
    LEASE_S,
    WrappedClient,
    ignore_event,
    make_charge,
    make_client,
    make_table,
    make_use,
)
from tests.services import run_emulator

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROUNDS = 300
NEVER_LIMITED = make_charge(limit=RateLimit("measured", 1_000_000, 1.0))


class DelayedClient(WrappedClient):
    """A client whose calls are all delayed by the same time."""

    def __init__(self, client: "DynamoDBClient", seconds: float) -> None:
        super().__init__(client)
        self._seconds = seconds
        self.meta = client.meta
        self.exceptions = client.exceptions

    def run_call(self, name: str, method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Wait, then make the call."""
        time.sleep(self._seconds)
        return super().run_call(name, method, arguments)


def make_one_transaction(client: Any, table: str) -> Callable[[str], object]:
    """Return a function that decides on limit and key in one transaction."""
    store = DynamoDbAdmissionStore(client, table, observer=ignore_event)
    return lambda key: store.admit(charge=NEVER_LIMITED, use=make_use(key), lease_s=LEASE_S)


def make_limiter_then_powertools(client: Any, table: str) -> Callable[[str], object]:
    """Return the limit by a write of its own, then the key by Powertools."""
    limiter = DynamoDbAdmissionStore(client, table, observer=ignore_event)
    layer = DynamoDBPersistenceLayer(table_name=table, key_attr="pk", boto3_client=client)
    layer.configure(IdempotencyConfig(event_key_jmespath="key"), "measured")

    def admit(key: str) -> None:
        limiter.admit(charge=NEVER_LIMITED, use=None, lease_s=LEASE_S)
        layer.save_inprogress({"key": key}, remaining_time_in_millis=round(LEASE_S * 1000))

    return admit


def measure_ms(admit: Callable[[str], object]) -> float:
    """Return how long one piece of new work takes."""
    key = uuid4().hex
    begin = time.perf_counter()
    admit(key)
    return (time.perf_counter() - begin) * 1000


def measure(client: "DynamoDBClient", added_s: float) -> str:
    """Return the medians of both ways, turn by turn, and their ratio."""
    distant = DelayedClient(client, added_s)
    ways = [make(distant, make_table(client)) for make in (make_one_transaction, make_limiter_then_powertools)]
    times = [[measure_ms(way) for way in ways] for _ in range(ROUNDS)]
    ours, theirs = (median(column) for column in zip(*times[ROUNDS // 10 :], strict=True))
    return (
        f"+{added_s * 1000:.0f} ms  {ours:.2f} ms in one round trip, {theirs:.2f} ms in two: {theirs / ours:.2f} times"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home, run_emulator(Path(home)) as emulator:
        for added_s in (0.0, 0.003):
            sys.stdout.write(measure(make_client(emulator.url), added_s) + "\n")
