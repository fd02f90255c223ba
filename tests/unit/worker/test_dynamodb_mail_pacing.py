"""The item in which all workers keep the pace of mails, and the conditions of its writes."""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError

from shared.circuit.store import StoreUnavailable
from shared.units import SECOND
from worker.dynamodb_mail_pacing import DynamoDbPacingStore
from worker.priority_pacing import PacingState, StoreReply

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = 1_795_000_000 * SECOND
KEY: dict[str, Any] = {"pk": {"S": f"limit#mail#{hashlib.sha256(b'fleet').hexdigest()}"}}
STATE = PacingState(3, NOW, served=(NOW - 1, NOW - 2, NOW - 3), queue_end=(NOW + SECOND, 5, 6), normal_until=7)
NUMBERS = {
    "version": 3, "tat": NOW, "normal_until": 7,
    "served_high": NOW - 1, "served_normal": NOW - 2, "served_low": NOW - 3,
    "end_high": NOW + SECOND, "end_normal": 5, "end_low": 6,
}  # fmt: skip
ATTRIBUTES: dict[str, Any] = {name: {"N": str(value)} for name, value in NUMBERS.items()}
# An hour after the last moment in it has passed.
EXPIRES = {"expires_at": {"N": str(1_795_000_001 + 3600)}}


@dataclass
class ScriptedTable:
    """A client of DynamoDB that keeps what it is asked for, and answers with `item`, or raises `error`."""

    item: dict[str, Any] | None = None
    error: ClientError | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)

    def get_item(self, **request: Any) -> dict[str, Any]:
        """See DynamoDBClient.get_item."""
        self._note(request)
        return {} if self.item is None else {"Item": self.item}

    def put_item(self, **request: Any) -> dict[str, Any]:
        """See DynamoDBClient.put_item."""
        self._note(request)
        return {}

    def _note(self, request: dict[str, Any]) -> None:
        self.requests.append(request)
        if self.error is not None:
            raise self.error

    @property
    def store(self) -> DynamoDbPacingStore:
        """Return the store on this table."""
        return DynamoDbPacingStore(cast("DynamoDBClient", self), "state")


def make_error(code: str, **more: Any) -> ClientError:
    """Return an answer of DynamoDB that something failed."""
    response: Any = {"Error": {"Code": code, "Message": "m"}, **more}
    return ClientError(response, "PutItem")


def test_the_state_is_read_with_all_earlier_writes() -> None:
    """An old one would only be rejected later."""
    table = ScriptedTable({**KEY, **ATTRIBUTES, **EXPIRES})
    assert table.store.read() == STATE
    assert table.requests == [{"TableName": "state", "Key": KEY, "ConsistentRead": True}]


def test_an_item_of_a_version_without_priorities_is_a_state_without_them() -> None:
    """Each field that it lacks is 0; without an item all fields are."""
    assert ScriptedTable({**KEY, "tat": {"N": str(NOW)}}).store.read() == PacingState(tat=NOW)
    assert ScriptedTable().store.read() == PacingState()


@pytest.mark.parametrize(
    ("seen", "condition"),
    [
        (PacingState(), {"ConditionExpression": "attribute_not_exists(version) AND attribute_not_exists(tat)"}),
        (
            PacingState(tat=NOW),
            {
                "ConditionExpression": "attribute_not_exists(version) AND tat = :tat",
                "ExpressionAttributeValues": {":tat": {"N": str(NOW)}},
            },
        ),
        (
            PacingState(2, NOW),
            {
                "ConditionExpression": "version = :version AND tat = :tat",
                "ExpressionAttributeValues": {":version": {"N": "2"}, ":tat": {"N": str(NOW)}},
            },
        ),
    ],
)
def test_a_state_replaces_only_the_one_that_was_seen(seen: PacingState, condition: dict[str, Any]) -> None:
    """The condition names what was seen, and DynamoDB shows what is there instead."""
    table = ScriptedTable()
    assert table.store.write(seen, STATE) == StoreReply(STATE, written=True)
    assert table.requests == [
        {
            "TableName": "state",
            "Item": {**KEY, **ATTRIBUTES, **EXPIRES},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **condition,
        }
    ]


def test_the_item_outlasts_its_last_moment_whichever_that_is() -> None:
    """The bucket's own, if no call was sent back to its queue for later."""
    table = ScriptedTable()
    table.store.write(PacingState(), PacingState(1, tat=NOW + 5 * SECOND))
    assert table.requests[0]["Item"]["expires_at"] == {"N": str(1_795_000_005 + 3600)}


def test_a_write_that_came_too_late_shows_what_is_there() -> None:
    """The worker decides again by it."""
    failed = make_error("ConditionalCheckFailedException", Item={**KEY, **ATTRIBUTES})
    assert ScriptedTable(error=failed).store.write(PacingState(), PacingState(1)) == StoreReply(STATE, written=False)


def test_a_failing_table_is_unavailable_and_only_its_code_is_kept() -> None:
    """Its message might quote what was sent."""
    store = ScriptedTable(error=make_error("InternalServerError")).store
    with pytest.raises(StoreUnavailable) as read:
        store.read()
    with pytest.raises(StoreUnavailable) as written:
        store.write(PacingState(), STATE)
    for failed in (read.value, written.value):
        assert (failed.code, failed.__suppress_context__) == ("InternalServerError", True)
