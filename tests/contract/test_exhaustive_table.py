"""The contract of the searches' table: it answers as the emulated DynamoDB does, and leaves the same items."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from shared.admission.ports import KeyUse, LimitCharge, RateLimit, StoredAnswer, UnkeptAnswer
from shared.aws import dynamodb_admission_items as items
from shared.aws.dynamodb_circuits import DynamoDbCircuitStore
from shared.circuit.state import (
    NEW,
    CircuitPolicy,
    CircuitSnapshot,
    FailureBucket,
    half_open_circuit,
    open_circuit,
    replace_bucket,
)
from tests.contract.dynamodb_clients import WrappedClient, read_items
from tests.exhaustive.state_table import Condition, TableInMemory

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = 1_795_000_000_000_000
FIRST_USED_AT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOW)
TABLE = "state"
USE, OTHER_USE = KeyUse("scope", "key", "first"), KeyUse("scope", "key", "other")
CHARGE = LimitCharge("client", RateLimit("write", burst=2, period_s=2))
ANSWER = StoredAnswer(200, {"ETag": '"1"'}, "{}")
POLICY = CircuitPolicy(name="email")
KEY = {"pk": {"S": items.make_record_key(USE)}}
BUCKET = {"pk": {"S": items.make_bucket_key(CHARGE)}}

Request = tuple[str, dict[str, Any]]


def take(token: str, now: int, *, take_from: str = "") -> dict[str, Any]:
    """Return the shipped write that takes the key for two seconds, after which it is known for two more."""
    times = {"lease_ends": now + 2_000_000, "ends": now + 4_000_000, "now": now}
    return dict(items.build_take_write(TABLE, USE, token, **times, take_from=take_from))


def charge(seen: int | None, now: int = NOW) -> dict[str, Any]:
    """Return the shipped write that charges the limit."""
    return dict(items.build_charge_write(TABLE, CHARGE, seen, now))


def list_requests() -> Iterator[Request]:
    """Yield every kind of request that the shipped stores send, each with its condition met or not in some state."""
    for token in ("mine", "other"):
        for now in (NOW, NOW + 2_000_000, NOW + 5_000_000):
            yield "put_item", take(token, now)
            yield "put_item", take(token, now, take_from="mine")
        yield "update_item", dict(items.build_answer_write(TABLE, USE, token, ANSWER, NOW + 3_000_000))
        yield "update_item", dict(items.build_answer_write(TABLE, USE, token, None, NOW + 3_000_000))
        for is_stored in (True, False):
            facts = UnkeptAnswer(USE.scope, USE.key, token, '{"number": 1}', FIRST_USED_AT)
            yield "update_item", dict(items.build_facts_write(TABLE, facts, 3_000_000, is_stored=is_stored))
        yield "delete_item", dict(items.build_release_write(TABLE, USE, token))
    for seen in (None, NOW - 1, NOW, NOW + 1, NOW + 2_000_000):
        yield "update_item", {**charge(seen), "ReturnValues": "UPDATED_NEW"}
        for token in ("mine", "other"):
            yield "transact_write_items", {"TransactItems": [{"Put": take(token, NOW)}, {"Update": charge(seen)}]}
    for key in (KEY, BUCKET):
        yield "get_item", {"TableName": TABLE, "Key": key, "ConsistentRead": True}


def list_states() -> Iterator[list[dict[str, Any]]]:
    """Yield what the table may hold: no key, a running or an answered one; no bucket, an idle or a busy one."""
    running = take("mine", NOW)["Item"]
    late = take("other", NOW - 2_000_000)["Item"]
    over = take("other", NOW - 4_000_000)["Item"]
    answered = {**running, "phase": {"S": items.ANSWERED}, "free_at": {"N": str(NOW + 3_000_000)}}
    kept = {**answered, "facts": {"S": "{}"}}
    # An earlier release's, whose key is free at the end of the lease.
    earlier = [{n: v for n, v in each.items() if n != "known_until"} for each in (running, late)]
    for record in (None, running, late, over, answered, kept, *earlier):
        for tat in (None, NOW - 1, NOW, NOW + 1_000_000, NOW + 2_000_000):
            bucket = None if tat is None else {**BUCKET, "tat": {"N": str(tat)}, "expires_at": {"N": "1"}}
            yield [each for each in (record, bucket) if each is not None]


def send(client: Any, method: str, request: Mapping[str, Any]) -> Any:
    """Return the answer to a request as far as the stores read it."""
    try:
        answer = getattr(client, method)(**request)
    except ClientError as error:
        response: Any = error.response
        reasons = response.get("CancellationReasons", [])
        return response["Error"]["Code"], response.get("Item"), [(each["Code"], each.get("Item")) for each in reasons]
    return answer.get("Item"), answer.get("Attributes")


def name_table(request: dict[str, Any], table: str) -> dict[str, Any]:
    """Return the request to another table."""
    named = deepcopy(request)
    for part in [named, *(write for each in named.get("TransactItems", []) for write in each.values())]:
        if "TableName" in part:
            part["TableName"] = table
    return named


def test_each_request_of_the_admission_store_is_answered_as_by_the_table(
    dynamodb: "DynamoDBClient", state_table: str
) -> None:
    """In every state: the same answer, the same error with the same items, and the same items afterwards."""
    outcomes = set()
    for held in list_states():
        for method, request in list_requests():
            memory = TableInMemory({item["pk"]["S"]: item for item in held})
            for pk in read_items(dynamodb, state_table):
                dynamodb.delete_item(TableName=state_table, Key={"pk": {"S": pk}})
            for item in held:
                dynamodb.put_item(TableName=state_table, Item=item)
            ours, theirs = send(memory, method, request), send(dynamodb, method, name_table(request, state_table))
            assert ours == theirs, (method, request, held)
            assert memory.items == read_items(dynamodb, state_table), (method, request, held)
            outcomes.add((method, ours[0] if isinstance(ours[0], str) else None))
    assert {"ConditionalCheckFailedException", "TransactionCanceledException", None} <= {code for _, code in outcomes}


CIRCUITS = [
    NEW,
    replace_bucket(NEW, FailureBucket((NOW,))),
    open_circuit(NEW, POLICY, NOW),
    half_open_circuit(open_circuit(NEW, POLICY, NOW), POLICY, NOW, "token"),
    CircuitSnapshot("closed", 3, NOW, bucket=FailureBucket((NOW, NOW + 1), 1), revision=2, forced=True),
]


@pytest.mark.parametrize("held", [None, *CIRCUITS])
@pytest.mark.parametrize("seen", CIRCUITS)
def test_each_write_of_a_circuit_is_answered_as_by_the_table(
    dynamodb: "DynamoDBClient", state_table: str, held: CircuitSnapshot | None, seen: CircuitSnapshot
) -> None:
    """This is tried with every state that was read before and every state that is stored."""
    results: list[Any] = []
    make_memory: Callable[[], Any] = TableInMemory
    for client in (WrappedClient(dynamodb), make_memory()):
        store = DynamoDbCircuitStore(client, state_table)  # type: ignore[arg-type] # stand-ins of a client
        if held is not None:
            store._client.put_item(TableName=state_table, Item=_build_item(held))
        results.append((store.change("email", seen, open_circuit(seen, POLICY, NOW)), store.read("email")))
    assert results[0] == results[1]


def _build_item(circuit: CircuitSnapshot) -> Any:
    memory = TableInMemory()
    DynamoDbCircuitStore(memory, TABLE).change("email", NEW, circuit)  # type: ignore[arg-type] # a stand-in
    return memory.items["circuit#email"]


def test_a_condition_that_is_not_known_is_no_condition() -> None:
    """An expression that the shipped stores begin to use is either evaluated or refused, never passed over."""
    for text in ("begins_with(pk, :a)", "tat BETWEEN :a AND :b", "NOT tat = :a", "tat = :a tat"):
        with pytest.raises((ValueError, KeyError, IndexError)):
            Condition(text, {":a": {"N": "1"}, ":b": {"N": "2"}}, {"tat": {"N": "1"}}).is_met()
