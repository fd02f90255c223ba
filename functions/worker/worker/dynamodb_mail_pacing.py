"""The state of mail pacing in the state table: the only place that knows its format.

pk `limit#mail#<sha256>`   tat version served_high served_normal served_low end_high end_normal end_low normal_until

All are integers, times in epoch microseconds, see priority_pacing.PacingState. The key and `tat` are those of a bucket
of dynamodb_admission_items.py, so that workers of an earlier version, which know no priorities, count the same mails
while one version replaces the other. DynamoDB deletes the item after `expires_at` (epoch seconds).

Needs GetItem and PutItem on the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from shared.admission.ports import LimitCharge, RateLimit
from shared.aws.dynamodb import has_condition_failed, read_conflicting_item
from shared.aws.dynamodb_admission_items import TTL_MARGIN_S, make_bucket_key
from shared.aws.errors import BOTO_ERRORS, read_error_code
from shared.circuit.store import StoreUnavailable
from shared.units import SECOND
from worker.priority_pacing import PacingState, Priority, StoreReply

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UniversalAttributeValueTypeDef

    Attributes = dict[str, UniversalAttributeValueTypeDef]


class WriteCondition(TypedDict, total=False):
    """The condition of a write, as put_item takes it."""

    ConditionExpression: str
    ExpressionAttributeValues: Attributes


_KEY: Attributes = {"pk": {"S": make_bucket_key(LimitCharge("fleet", RateLimit("mail", burst=1, period_s=1)))}}


class DynamoDbPacingStore:
    """The PacingStore that all environments share."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self) -> PacingState:
        """Return the state; see PacingStore.read."""
        try:
            answer = self._client.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        except BOTO_ERRORS as error:
            raise StoreUnavailable(read_error_code(error)) from None
        return _read_state(answer.get("Item"))

    def write(self, seen: PacingState, to: PacingState) -> StoreReply:
        """Replace the state; see PacingStore.write."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**_KEY, **_build_attributes(to)},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **_build_unchanged_condition(seen),
            )
        except BOTO_ERRORS as error:
            if has_condition_failed(error):
                return StoreReply(_read_state(read_conflicting_item(error)), written=False)
            raise StoreUnavailable(read_error_code(error)) from None
        return StoreReply(to, written=True)


def _build_unchanged_condition(seen: PacingState) -> WriteCondition:
    """Return the condition that nobody has written since; workers of an earlier version change only `tat`."""
    known = {name: value for name, value in (("version", seen.version), ("tat", seen.tat)) if value}
    tests = [f"{name} = :{name}" if name in known else f"attribute_not_exists({name})" for name in ("version", "tat")]
    condition: WriteCondition = {"ConditionExpression": " AND ".join(tests)}
    if known:  # DynamoDB rejects values that no expression uses, and an empty set of them
        condition["ExpressionAttributeValues"] = {f":{name}": _build_number(value) for name, value in known.items()}
    return condition


def _read_state(item: Mapping[str, Any] | None) -> PacingState:
    def read_number(name: str) -> int:
        return int(item[name]["N"]) if item and name in item else 0

    def read_numbers(name: str) -> tuple[int, int, int]:
        high, normal, low = (read_number(f"{name}_{priority.name.lower()}") for priority in Priority)
        return high, normal, low

    return PacingState(
        version=read_number("version"),
        tat=read_number("tat"),
        served=read_numbers("served"),
        queue_end=read_numbers("end"),
        normal_until=read_number("normal_until"),
    )


def _build_attributes(state: PacingState) -> Attributes:
    last = max(state.tat, *state.queue_end)
    attributes = {
        "version": _build_number(state.version),
        "tat": _build_number(state.tat),
        "normal_until": _build_number(state.normal_until),
        "expires_at": _build_number(last // SECOND + TTL_MARGIN_S),
    }
    for priority in Priority:
        attributes[f"served_{priority.name.lower()}"] = _build_number(state.served[priority])
        attributes[f"end_{priority.name.lower()}"] = _build_number(state.queue_end[priority])
    return attributes


def _build_number(value: int) -> UniversalAttributeValueTypeDef:
    return {"N": str(value)}
