"""The keeping of answers in the state table, by the relay: of what a key's row in the database holds.

Needs UpdateItem on the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.admission.ports import UnkeptAnswer
from shared.aws.dynamodb import has_condition_failed
from shared.aws.dynamodb_admission import MAX_ANSWER_BYTES, RECORD_LIFE_S
from shared.aws.dynamodb_admission_items import build_facts_write
from shared.aws.errors import BOTO_ERRORS, RequestRejected, classify_error, read_error_code
from shared.units import SECOND

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoDbAnswerKeeper:
    """Keeps answers under the keys of the calls that they are of, for the records' lifetime since each call."""

    def __init__(self, client: DynamoDBClient, table: str, *, record_life_s: float = RECORD_LIFE_S) -> None:
        self._client = client
        self._table = table
        self._life = round(record_life_s * SECOND)

    def keep(self, answer: UnkeptAnswer) -> bool:
        """Keep an answer if its key's record waits for it; return False if it has to be tried again.

        There is nothing more to do if the record has an answer, is another call's or is gone, or if the answer is one
        that DynamoDB rejects. Raise AwsError if the table is out of reach.
        """
        is_stored = len(answer.facts.encode("utf-8", "surrogatepass")) <= MAX_ANSWER_BYTES
        update = build_facts_write(self._table, answer, self._life, is_stored=is_stored)
        try:
            self._client.update_item(**update)
        except BOTO_ERRORS as error:
            # A repeat is admitted at this moment; the others' answers do not wait for it.
            if read_error_code(error) == "TransactionConflictException":
                return False
            failure = classify_error(error)
            if has_condition_failed(error) or isinstance(failure, RequestRejected):
                return True
            raise failure from None
        return True
