"""The fleet's circuits in the state table, an item each: the only place that knows their format.

pk `circuit#<name>`   state generation revision [since] [open_until] [holder lease_until] [forced]
                      failed_at leaked

Times are epoch microseconds. `failed_at` lists when the failures that count ended, oldest first; `leaked` successes
have been counted against the first of them. No item: closed, and nothing ever failed. Items have no `expires_at`: a
generation must never begin anew. An item of an earlier release has no `revision`, and counts of half-windows which
are not read: it is a circuit with no failures.

Needs GetItem and PutItem on the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.aws.dynamodb import has_condition_failed, read_conflicting_item
from shared.aws.errors import BOTO_ERRORS, BotoError, read_error_code
from shared.circuit.state import NEW, CircuitSnapshot, FailureBucket
from shared.circuit.store import StoreUnavailable, WriteResult

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UniversalAttributeValueTypeDef

    Attributes = dict[str, UniversalAttributeValueTypeDef]


class DynamoDbCircuitStore:
    """The CircuitStore of the fleet. `client` gives up soon and never tries twice, see clients.get_circuit_dynamodb."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, name: str) -> CircuitSnapshot:
        """See CircuitStore.read."""
        try:
            answer = self._client.get_item(TableName=self._table, Key=_make_key(name), ConsistentRead=True)
        except BOTO_ERRORS as error:
            raise StoreUnavailable(read_error_code(error)) from None
        return read_circuit(answer.get("Item"))

    def change(self, name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
        """See CircuitStore.change."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**_make_key(name), **_build_attributes(to)},
                ConditionExpression=f"{_match('generation', seen.generation)} AND {_match('revision', seen.revision)}",
                ExpressionAttributeValues={
                    ":generation": _build_number(seen.generation),
                    ":revision": _build_number(seen.revision),
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except BOTO_ERRORS as error:
            return _read_conflict(error)
        return WriteResult(done=True, now=to)


def make_circuit_key(name: str) -> str:
    """The key of a circuit's item."""
    return f"circuit#{name}"


def read_circuit(item: Mapping[str, Any] | None) -> CircuitSnapshot:
    """A circuit as its item says; NEW where there is none."""
    if not item:
        return NEW

    def read_number(name: str) -> int:
        return int(item[name]["N"]) if name in item else 0

    return CircuitSnapshot(
        state=item["state"]["S"],
        generation=read_number("generation"),
        since=read_number("since") if "since" in item else None,
        open_until=read_number("open_until"),
        holder=item["holder"]["S"] if "holder" in item else None,
        lease_until=read_number("lease_until"),
        bucket=FailureBucket(
            failures=tuple(int(each["N"]) for each in item["failed_at"]["L"]) if "failed_at" in item else (),
            leaked=read_number("leaked"),
        ),
        revision=read_number("revision"),
        forced="forced" in item,
    )


def _build_attributes(circuit: CircuitSnapshot) -> Attributes:
    attributes: Attributes = {
        "state": {"S": circuit.state},
        "generation": _build_number(circuit.generation),
        "open_until": _build_number(circuit.open_until),
        "lease_until": _build_number(circuit.lease_until),
        "revision": _build_number(circuit.revision),
        "failed_at": {"L": [_build_number(ended) for ended in circuit.bucket.failures]},
        "leaked": _build_number(circuit.bucket.leaked),
    }
    if circuit.since is not None:
        attributes["since"] = _build_number(circuit.since)
    if circuit.holder is not None:
        attributes["holder"] = {"S": circuit.holder}
    if circuit.forced:
        attributes["forced"] = {"BOOL": True}
    return attributes


def _match(name: str, value: int) -> str:
    """Return the condition that an attribute has the value `:name`; one that was never written is 0."""
    return f"{name} = :{name}" if value else f"(attribute_not_exists({name}) OR {name} = :{name})"


def _read_conflict(error: BotoError) -> WriteResult:
    """The circuit as another has left it; raises StoreUnavailable where that is not why the write was not made."""
    if has_condition_failed(error):
        return WriteResult(done=False, now=read_circuit(read_conflicting_item(error)))
    raise StoreUnavailable(read_error_code(error)) from None


def _make_key(name: str) -> Attributes:
    return {"pk": {"S": make_circuit_key(name)}}


def _build_number(value: int) -> UniversalAttributeValueTypeDef:
    return {"N": str(value)}
