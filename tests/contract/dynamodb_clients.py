"""Fixtures of the state store's tests: tables of their own, concurrent calls, and clients that misbehave."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Lock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from shared.admission.ports import Admitted, KeyUse, LimitCharge, RateLimit
from shared.aws.dynamodb_admission import DynamoDbAdmissionStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")

FIVE_A_MINUTE = RateLimit("registration", burst=5, period_s=60)
LEASE_S = 30.0


def make_charge(bucket: str = "client", limit: RateLimit = FIVE_A_MINUTE) -> LimitCharge:
    """Return one client's charge for one request."""
    return LimitCharge(bucket, limit)


def make_use(key: str = "key", fingerprint: str = "asked", scope: str = "client POST /members") -> KeyUse:
    """Return one use of a key."""
    return KeyUse(scope, key, fingerprint)


def read_token(decision: object) -> str:
    """Return the token of a decision that must hold a key."""
    assert isinstance(decision, Admitted), decision
    assert decision.token
    return decision.token


def make_client(url: str) -> "DynamoDBClient":
    """Return a client that fails at once where production's would try again: tests count and break its calls."""
    config = Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1}, max_pool_connections=64)
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    )


def make_table(client: "DynamoDBClient") -> str:
    """Return a state table as the template makes it, under a name of its own."""
    name = f"state-{uuid4().hex}"
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def read_items(client: "DynamoDBClient", table: str) -> dict[str, Mapping[str, Any]]:
    """Everything in the table, by key."""
    return {item["pk"]["S"]: item for item in client.scan(TableName=table, ConsistentRead=True)["Items"]}


def ignore_event(event: str, facts: Mapping[str, object]) -> None:
    """An observer that looks away."""


def run_concurrently(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Start calls at the same moment, each in a thread of its own; return their results."""
    gate = Barrier(len(calls))

    def call(one: Callable[[], T]) -> T:
        gate.wait()
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def admit_in_process(url: str, table: str, charge: LimitCharge | None, use: KeyUse | None, barrier: Any) -> str:
    """Call admit() in a process of its own, when all others stand at the gate; the decision's name."""
    client = make_client(url)
    client.describe_table(TableName=table)
    barrier.wait()
    store = DynamoDbAdmissionStore(client, table, observer=ignore_event)
    return type(store.admit(charge=charge, use=use, lease_s=LEASE_S)).__name__


class WrappedClient:
    """A DynamoDB client whose calls pass through `called`."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        return lambda **arguments: self.run_call(name, method, arguments)

    def run_call(self, name: str, method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Make the call."""
        return method(**arguments)


class CountingClient(WrappedClient):
    """Notes the name of each call: one name, one round trip."""

    def __init__(self, client: "DynamoDBClient") -> None:
        super().__init__(client)
        self.calls: list[str] = []

    def run_call(self, name: str, method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Note the call and make it."""
        self.calls.append(name)
        return super().run_call(name, method, arguments)


class FailingClient(WrappedClient):
    """Raises what `failure` gives for a call (None lets it pass), before it, or after it was made."""

    def __init__(
        self, client: "DynamoDBClient", failure: Callable[[str], Exception | None], *, after: bool = False
    ) -> None:
        super().__init__(client)
        self._failure = failure
        self._after = after

    def run_call(self, name: str, method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Fail where `failure` says so."""
        failure = self._failure(name)
        if failure is None:
            return super().run_call(name, method, arguments)
        if self._after:
            super().run_call(name, method, arguments)
        raise failure


class ContendedClient(WrappedClient):
    """Conflicts as DynamoDB does: a transaction is cancelled where it meets another write on an item, and
    a single write is refused where it meets a transaction. A seeded share is cancelled without a reason of
    ours, as its internal moves of partitions do. Reads meet no conflict.
    """

    def __init__(self, client: "DynamoDBClient", *, rate: float = 0.3, seed: int = 7) -> None:
        super().__init__(client)
        self.conflicts = 0
        self._rate = rate
        self._random = random.Random(seed)
        self._lock = Lock()
        self._under_way: dict[str, str] = {}

    def run_call(self, name: str, method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Make a write alone on its items, or not at all."""
        if name == "transact_write_items":
            keys = [_make_key(write) for member in arguments["TransactItems"] for write in member.values()]
            with self._hold_alone(keys, {"transaction", "write"}, "transaction"):
                return super().run_call(name, method, arguments)
        if name in ("put_item", "update_item", "delete_item"):
            with self._hold_alone([_make_key(arguments)], {"transaction"}, "write"):
                return super().run_call(name, method, arguments)
        return super().run_call(name, method, arguments)

    @contextmanager
    def _hold_alone(self, keys: list[str], meeting: set[str], kind: str) -> Iterator[None]:
        with self._lock:
            unlucky = kind == "transaction" and self._random.random() < self._rate
            met = [self._under_way.get(key) in meeting for key in keys]
            if unlucky or any(met):
                self.conflicts += 1
                raise (
                    make_cancellation(met if any(met) else [True] * len(keys))
                    if kind == "transaction"
                    else make_conflict()
                )
            self._under_way.update(dict.fromkeys(keys, kind))
        try:
            yield
        finally:
            with self._lock:
                for key in keys:
                    self._under_way.pop(key, None)


def _make_key(write: Mapping[str, Any]) -> str:
    return str((write.get("Key") or write["Item"])["pk"]["S"])


def make_error(code: str, status: int = 400, **more: Any) -> ClientError:
    """Return an answer of DynamoDB's that is an error."""
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(answer, "Operation")


def make_cancellation(conflicts: list[bool], code: str = "TransactionConflict") -> ClientError:
    """Return a transaction cancelled on account of those of its writes."""
    reasons = [{"Code": code if conflict else "None"} for conflict in conflicts]
    return make_error("TransactionCanceledException", CancellationReasons=reasons)


def make_conflict() -> ClientError:
    """Return a single write refused because of a transaction under way."""
    return make_error("TransactionConflictException")
