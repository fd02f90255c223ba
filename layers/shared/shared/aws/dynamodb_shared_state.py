"""The state in the state table that all environments share: circuits, the database's writer, counts of retries.

A dependency's circuit   see dynamodb_circuits.py
The last writer seen     pk `health#server`      server [changed_at]
Retries in a minute      pk `retries#<minute>`   retries s00…s59  of transactions, in all environments; by second

`since` and `changed_at` are epoch microseconds; `<minute>` is epoch seconds // 60; DynamoDB deletes retries after
`expires_at` (epoch seconds).

Reading needs BatchGetItem on the table, writing the writer PutItem, counting retries UpdateItem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from shared.aws.dynamodb import has_condition_failed
from shared.aws.dynamodb_admission_items import TTL_MARGIN_S, Item
from shared.aws.dynamodb_circuits import make_circuit_key, read_circuit
from shared.aws.errors import BOTO_ERRORS, ServiceUnavailable, classify_error
from shared.circuit.state import State
from shared.clock import Clock, read_utc_now
from shared.units import convert_from_epoch_micros, convert_to_epoch_micros

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SERVER = "health#server"
MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class CircuitStatus:
    """The state of a dependency's circuit and its beginning, None if it has always been in this state."""

    state: State
    since: datetime | None


CLOSED = CircuitStatus("closed", None)


@dataclass(frozen=True, slots=True)
class LastWriter:
    """The last database writer that any function saw, by an opaque id; `changed_at` is None for the first one ever."""

    server: str
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class SharedState:
    """The shared state at one moment; `retries` are those of the last 60 seconds, to the second."""

    circuits: Mapping[str, CircuitStatus]
    server: LastWriter | None
    retries: int

    def find_circuit(self, name: str) -> CircuitStatus:
        """Return the circuit of this name; one that never opened is closed."""
        return self.circuits.get(name, CLOSED)


class SharedStateStore:
    """The store of the shared state."""

    def __init__(self, client: DynamoDBClient, table: str, *, now: Clock = read_utc_now) -> None:
        self._client = client
        self._table = table
        self._now = now

    def read(self, circuits: Iterable[str]) -> SharedState:
        """Return the whole state, with the circuits of these names, in one round trip. Raise AwsError."""
        names, now_s = list(circuits), self._read_second()
        minutes = (now_s // MINUTE_S - 1, now_s // MINUTE_S)
        found = self._read_items([SERVER, *map(_make_retries_key, minutes), *map(make_circuit_key, names)])
        return SharedState(
            circuits={
                name: _read_circuit_status(found[pk]) for name in names if (pk := make_circuit_key(name)) in found
            },
            server=_read_writer(found.get(SERVER)),
            retries=sum(
                _count_retries_since(found.get(_make_retries_key(m), {}), m, now_s - MINUTE_S) for m in minutes
            ),
        )

    def change_server(self, seen: LastWriter | None, now: LastWriter) -> bool:
        """Replace the writer that was `seen`; return False if another caller has already done so. Raise AwsError."""
        item: dict[str, Any] = {"pk": {"S": SERVER}, "server": {"S": now.server}}
        if now.changed_at is not None:
            item["changed_at"] = {"N": str(convert_to_epoch_micros(now.changed_at))}
        unchanged: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if seen is not None:
            unchanged = {
                "ConditionExpression": "#server = :seen",
                "ExpressionAttributeNames": {"#server": "server"},
                "ExpressionAttributeValues": {":seen": {"S": seen.server}},
            }
        try:
            self._client.put_item(TableName=self._table, Item=item, **unchanged)
        except BOTO_ERRORS as error:
            if has_condition_failed(error):
                return False
            raise classify_error(error) from None
        return True

    def add_retries(self, count: int) -> None:
        """Add to this second's count. Never raise: losing a count is harmless.

        The minute's total is for functions of an earlier version, which read nothing else.
        """
        minute, second = divmod(self._read_second(), MINUTE_S)
        with suppress(*BOTO_ERRORS):
            self._client.update_item(
                TableName=self._table,
                Key={"pk": {"S": _make_retries_key(minute)}},
                UpdateExpression=f"ADD retries :count, {_name_second(second)} :count SET expires_at = :gone",
                ExpressionAttributeValues={
                    ":count": {"N": str(count)},
                    ":gone": {"N": str((minute + 2) * MINUTE_S + TTL_MARGIN_S)},
                },
            )

    def _read_items(self, pks: Iterable[str]) -> dict[str, Item]:
        keys = [{"pk": {"S": pk}} for pk in pks]
        try:
            answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
        except BOTO_ERRORS as error:
            raise classify_error(error) from None
        if answer.get("UnprocessedKeys"):
            raise ServiceUnavailable("UnprocessedKeys")
        return {item["pk"]["S"]: item for item in answer["Responses"].get(self._table, [])}

    def _read_second(self) -> int:
        return int(self._now().timestamp())


class BackgroundCounter:
    """A counter of events. It reports from a background thread, one report at a time, so that no caller waits."""

    def __init__(self, hand_on: Callable[[int], None]) -> None:
        self._hand_on = hand_on
        self._lock = Lock()
        self._waiting = 0
        self._busy = False

    def count(self) -> None:
        """Count one more event."""
        with self._lock:
            self._waiting += 1
            if self._busy:
                return
            self._busy = True
        Thread(target=self._report_counts, name="tally", daemon=True).start()

    def _report_counts(self) -> None:
        while count := self._swap_count():
            self._hand_on(count)

    def _swap_count(self) -> int:
        with self._lock:
            count, self._waiting = self._waiting, 0
            self._busy = count > 0
            return count


def _make_retries_key(minute: int) -> str:
    return f"retries#{minute}"


def _name_second(second: int) -> str:
    return f"s{second:02}"


def _count_retries_since(item: Item, minute: int, since_s: int) -> int:
    """Return the retries in a minute's item in the seconds after `since_s`, in epoch seconds."""
    seconds = range(max(0, since_s + 1 - minute * MINUTE_S), MINUTE_S)
    return sum(int(item[name]["N"]) for name in map(_name_second, seconds) if name in item)


def _read_circuit_status(item: Item) -> CircuitStatus:
    circuit = read_circuit(item)
    return CircuitStatus(circuit.state, None if circuit.since is None else convert_from_epoch_micros(circuit.since))


def _read_writer(item: Item | None) -> LastWriter | None:
    return LastWriter(item["server"]["S"], _parse_moment(item.get("changed_at"))) if item else None


def _parse_moment(value: Mapping[str, str] | None) -> datetime | None:
    return convert_from_epoch_micros(int(value["N"])) if value else None
