"""The fleet's circuits in the state table, an item each: the only place that knows their format.

pk `circuit#<name>`   state generation [since] [open_until] [holder lease_until] [forced]
                      slot calls failures slow calls_before failures_before slow_before

Times are epoch microseconds. `slot` numbers the half-window of the first three counts, the others are those of the one
before. No item: closed, and nothing ever failed. They have no `expires_at`: a generation must never begin anew.

Needs GetItem, PutItem and UpdateItem on the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws.failures import AWS_ERRORS, error_code
from shared.resilience.circuit import NEW, Counts, Snapshot, Window
from shared.resilience.circuit_store import StoreUnavailable, Written

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UniversalAttributeValueTypeDef

    Attributes = dict[str, UniversalAttributeValueTypeDef]

_LOST_CONDITION = "ConditionalCheckFailedException"
_SAME_GENERATION = "generation = :generation"
_COUNTS = ("calls", "failures", "slow")


class DynamoDbCircuits:
    """The CircuitStore of the fleet. `client` gives up soon and never tries twice, see clients.circuits."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, name: str) -> Snapshot:
        """See CircuitStore.read."""
        try:
            answer = self._client.get_item(TableName=self._table, Key=_key(name), ConsistentRead=True)
        except AWS_ERRORS as error:
            raise StoreUnavailable(_code(error)) from None
        return snapshot_of(answer.get("Item"))

    def add(self, name: str, seen: Snapshot, told: Window) -> Written:
        """See CircuitStore.add."""
        unchanged, values = _unchanged(seen)
        values |= {
            ":closed": {"S": "closed"},
            ":generation": _number(seen.generation),
            ":slot": _number(max(told.slot, seen.window.slot)),
            **_counts(":now_{}", told.current),
            **_counts(":before_{}", told.previous),
        }
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_key(name),
                UpdateExpression=f"SET #state = :closed, generation = :generation, #slot = :slot, {_sums(seen, told)}",
                ConditionExpression=unchanged,
                ExpressionAttributeNames={"#state": "state", "#slot": "slot"},
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except AWS_ERRORS as error:
            return _lost(error)
        return Written(done=True, now=snapshot_of(answer["Attributes"]))

    def change(self, name: str, seen: Snapshot, to: Snapshot) -> Written:
        """See CircuitStore.change."""
        unwritten = "attribute_not_exists(pk) OR " if seen.generation == 0 else ""
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**_key(name), **_attributes(to)},
                ConditionExpression=unwritten + _SAME_GENERATION,
                ExpressionAttributeValues={":generation": _number(seen.generation)},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except AWS_ERRORS as error:
            return _lost(error)
        return Written(done=True, now=to)


def pk_of(name: str) -> str:
    """The key of a circuit's item."""
    return f"circuit#{name}"


def snapshot_of(item: Mapping[str, Any] | None) -> Snapshot:
    """A circuit as its item says; NEW where there is none."""
    if not item:
        return NEW

    def number(name: str) -> int:
        return int(item[name]["N"]) if name in item else 0

    return Snapshot(
        state=item["state"]["S"],
        generation=number("generation"),
        since=number("since") if "since" in item else None,
        open_until=number("open_until"),
        holder=item["holder"]["S"] if "holder" in item else None,
        lease_until=number("lease_until"),
        window=Window(
            slot=number("slot"),
            current=Counts(*(number(name) for name in _COUNTS)),
            previous=Counts(*(number(f"{name}_before") for name in _COUNTS)),
        ),
        forced="forced" in item,
    )


def _attributes(circuit: Snapshot) -> Attributes:
    window = circuit.window
    attributes: Attributes = {
        "state": {"S": circuit.state},
        "generation": _number(circuit.generation),
        "open_until": _number(circuit.open_until),
        "lease_until": _number(circuit.lease_until),
        "slot": _number(window.slot),
        **_counts("{}", window.current),
        **_counts("{}_before", window.previous),
    }
    if circuit.since is not None:
        attributes["since"] = _number(circuit.since)
    if circuit.holder is not None:
        attributes["holder"] = {"S": circuit.holder}
    if circuit.forced:
        attributes["forced"] = {"BOOL": True}
    return attributes


def _unchanged(seen: Snapshot) -> tuple[str, Attributes]:
    """That nobody has moved the circuit, or gone on to another half-window."""
    if seen == NEW:
        return "attribute_not_exists(pk)", {}
    return f"{_SAME_GENERATION} AND #slot = :seen", {":seen": _number(seen.window.slot)}


def _sums(seen: Snapshot, told: Window) -> str:
    """What becomes of the counts: they stay where they are, are those before, or are too old to be kept."""
    passed = told.slot - seen.window.slot
    if seen == NEW or passed > 1:
        sums = [f"{name} = :now_{name}, {name}_before = :before_{name}" for name in _COUNTS]
    elif passed == 1:
        sums = [f"{name} = :now_{name}, {name}_before = {name} + :before_{name}" for name in _COUNTS]
    else:
        sums = [f"{name} = {name} + :now_{name}, {name}_before = {name}_before + :before_{name}" for name in _COUNTS]
    return ", ".join(sums)


def _lost(error: ClientError | BotoCoreError) -> Written:
    """The circuit as another has left it; raises StoreUnavailable where that is not why the write was not made."""
    if isinstance(error, ClientError) and error_code(error) == _LOST_CONDITION:
        response: Mapping[str, Any] = error.response
        return Written(done=False, now=snapshot_of(response.get("Item")))
    raise StoreUnavailable(_code(error)) from None


def _code(error: ClientError | BotoCoreError) -> str:
    return error_code(error) if isinstance(error, ClientError) else type(error).__name__


def _key(name: str) -> Attributes:
    return {"pk": {"S": pk_of(name)}}


def _counts(names: str, counts: Counts) -> Attributes:
    values = (counts.calls, counts.failures, counts.slow)
    return {names.format(name): _number(value) for name, value in zip(_COUNTS, values, strict=True)}


def _number(value: int) -> UniversalAttributeValueTypeDef:
    return {"N": str(value)}
