"""The keys in the state table that calls have taken, for comparing them with a restored database.

Needs Scan and DeleteItem on the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.admission.ports import KEY_LIFE_S, KeyOrigin, StoredAnswer
from shared.aws.dynamodb import has_condition_failed
from shared.aws.dynamodb_admission_items import (
    ANSWERED,
    RUNNING,
    TOO_LARGE,
    Item,
    read_answer,
    read_end,
    read_facts,
    read_origin,
)
from shared.aws.errors import BOTO_ERRORS, classify_error
from shared.clock import Clock, read_utc_now
from shared.units import convert_from_epoch_micros, convert_to_epoch_micros

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# A page is read within the client's timeout of a second, although an answer may have 300 KB: DynamoDB ends each page
# at 1 MB.
PAGE_ITEMS = 500
PREFIX = "key#"


@dataclass(frozen=True, slots=True)
class TakenKey:
    """The record of a key whose call was answered, or may have been.

    `record` is the SHA-256 of the key and its scope in hexadecimal; `holder` fences the record. `origin` is None for a
    record of a release that did not keep it. Most have no `answer` but the `facts` of which it was made; both are None
    if it was too large, or if the relay has not come to it. `answered_at` is when the key's first use was answered, or
    began. `is_known_answered` is false for a call that may have ended without an answer, `is_over` for one whose lease
    lasts: it may be running.
    """

    record: str
    holder: str
    answered_at: datetime
    origin: KeyOrigin | None
    answer: StoredAnswer | None
    facts: Any = None
    is_known_answered: bool = True
    is_over: bool = True


class TakenKeys:
    """The taken keys in the state table; `page_items` is how many items of any kind are read at once."""

    def __init__(
        self, client: DynamoDBClient, table: str, *, page_items: int = PAGE_ITEMS, now: Clock = read_utc_now
    ) -> None:
        self._now = now
        self._client = client
        self._table = table
        self._page_items = page_items

    def read_page(self, after: str | None) -> tuple[list[TakenKey], str | None]:
        """Return the keys' records of a page, and the item after which the next page begins; None at the end.

        A record whose day is over is returned as long as DynamoDB has not deleted it: it answers no repeat any more,
        but still tells of its write. Records that are written meanwhile may be missed. Raise AwsError.
        """
        start: dict[str, Any] = {"ExclusiveStartKey": {"pk": {"S": after}}} if after else {}
        try:
            page = self._client.scan(
                TableName=self._table,
                ConsistentRead=True,
                Limit=self._page_items,
                FilterExpression="begins_with(pk, :prefix) AND (phase IN (:answered, :too_large) OR "
                "(phase = :running AND attribute_exists(known_until)))",
                ExpressionAttributeValues={
                    ":prefix": {"S": PREFIX},
                    ":answered": {"S": ANSWERED},
                    ":too_large": {"S": TOO_LARGE},
                    ":running": {"S": RUNNING},
                },
                **start,
            )
        except BOTO_ERRORS as error:
            raise classify_error(error) from None
        last: Mapping[str, Any] = page.get("LastEvaluatedKey") or {}
        now = convert_to_epoch_micros(self._now())
        return [_read_record(item, now) for item in page["Items"]], last["pk"]["S"] if last else None

    def delete(self, key: TakenKey) -> bool:
        """Delete a record, so that the next call with its key is run; return False if it is another's by now.

        Raise AwsError.
        """
        try:
            self._client.delete_item(
                TableName=self._table,
                Key={"pk": {"S": PREFIX + key.record}},
                ConditionExpression="holder = :holder",
                ExpressionAttributeValues={":holder": {"S": key.holder}},
            )
        except BOTO_ERRORS as error:
            if has_condition_failed(error):
                return False
            raise classify_error(error) from None
        return True


def _read_record(item: Item, now: int) -> TakenKey:
    answered_at = convert_from_epoch_micros(read_end(item)) - timedelta(seconds=KEY_LIFE_S)
    is_known_answered = item["phase"]["S"] != RUNNING
    return TakenKey(
        item["pk"]["S"].removeprefix(PREFIX),
        item["holder"]["S"],
        answered_at,
        read_origin(item),
        read_answer(item),
        read_facts(item),
        is_known_answered=is_known_answered,
        is_over=is_known_answered or int(item["free_at"]["N"]) <= now,
    )
