"""The keeping of answers in the state table, by the relay: of what a key's row in the database holds.

Needs UpdateItem on the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.admission.ports import UnkeptAnswer
from shared.aws.dynamodb import has_condition_failed
from shared.aws.dynamodb_admission import MAX_ANSWER_BYTES, RECORD_LIFE_S
from shared.aws.dynamodb_admission_items import build_facts_write
from shared.aws.errors import BOTO_ERRORS, AwsError, RequestRejected, classify_error, read_error_code
from shared.clock import read_monotonic
from shared.units import SECOND

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


# A failed write takes the client's timeout, and mails wait for this relay meanwhile; nobody waits for an answer's copy.
FAILURE_PAUSE_S = 30.0


class DynamoDbAnswerKeeper:
    """Keeps answers under the keys of the calls that they are of, for the records' lifetime since each call.

    After a failure it leaves the table alone for FAILURE_PAUSE_S.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        record_life_s: float = RECORD_LIFE_S,
        timer: Callable[[], float] = read_monotonic,
    ) -> None:
        self._timer = timer
        self._paused_until = float("-inf")
        self._failure: AwsError | None = None
        self._client = client
        self._table = table
        self._life = round(record_life_s * SECOND)

    def keep(self, answer: UnkeptAnswer) -> bool:
        """Keep an answer if its key's record waits for it; return False if it has to be tried again.

        There is nothing more to do if the record has an answer, is another call's or is gone, or if the answer is one
        that DynamoDB rejects. Raise AwsError if the table is out of reach, or was a moment ago.
        """
        if self._failure is not None and self._timer() < self._paused_until:
            raise type(self._failure)(*self._failure.args)
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
            self._failure, self._paused_until = failure, self._timer() + FAILURE_PAUSE_S
            raise failure from None
        return True
