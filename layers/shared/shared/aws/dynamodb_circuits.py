"""The circuits in the state table, one item each: the only place that knows their format.

pk `circuit#<name>`   state generation revision [since] [open_until] [holder lease_until] [forced]
                      failed_at leaked

Times are epoch microseconds. `failed_at` lists when the failures that count ended, oldest first; `leaked` successes
have been counted against the first of them. A missing item is a closed circuit without failures. Items have no
`expires_at`, since a generation must never start again. An item of an earlier release has no `revision`, and counts per
half-window, which are ignored: it is a circuit without failures.

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
    """The CircuitStore in DynamoDB.

    `client` has a short timeout and makes one attempt, see clients.get_impatient_dynamodb.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, name: str) -> CircuitSnapshot:
        """Return a circuit; see CircuitStore.read."""
        try:
            answer = self._client.get_item(TableName=self._table, Key=_make_key(name), ConsistentRead=True)
        except BOTO_ERRORS as error:
            raise StoreUnavailable(read_error_code(error)) from None
        return read_circuit(answer.get("Item"))

    def change(self, name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
        """Change a circuit; see CircuitStore.change."""
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
    """Return the primary key of a circuit's item."""
    return f"circuit#{name}"


def read_circuit(item: Mapping[str, Any] | None) -> CircuitSnapshot:
    """Return the circuit of an item; NEW if there is none."""
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
    """Return the condition that an attribute has the value `:name`; an attribute that was never written counts as 0."""
    return f"{name} = :{name}" if value else f"(attribute_not_exists({name}) OR {name} = :{name})"


def _read_conflict(error: BotoError) -> WriteResult:
    """Return the circuit as another writer left it. Raise StoreUnavailable if the write failed for another reason."""
    if has_condition_failed(error):
        return WriteResult(done=False, now=read_circuit(read_conflicting_item(error)))
    raise StoreUnavailable(read_error_code(error)) from None


def _make_key(name: str) -> Attributes:
    return {"pk": {"S": make_circuit_key(name)}}


def _build_number(value: int) -> UniversalAttributeValueTypeDef:
    return {"N": str(value)}
