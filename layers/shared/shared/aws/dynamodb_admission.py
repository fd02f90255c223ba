"""The AdmissionStore in one DynamoDB table (its items: dynamodb_admission_items.py).

Taking a key and charging a limit is one round trip: a transaction whose failed conditions return the items, so that the
failure itself shows a replay, a running call or an empty bucket. If only one of the two is needed, a single conditional
write does it at half the cost.

Needs GetItem, PutItem, UpdateItem and DeleteItem on the table.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.admission import gcra
from shared.admission.ports import (
    KEY_LIFE_S,
    AdmissionDecision,
    Admitted,
    InProgress,
    KeyUse,
    LimitCharge,
    OverLimit,
    Quota,
    StoredAnswer,
)
from shared.aws import dynamodb_admission_items as items
from shared.aws.errors import BOTO_ERRORS, OutOfTime, read_error_code
from shared.clock import Clock, read_utc_now
from shared.retry.backoff import Backoff
from shared.units import SECOND, convert_to_epoch_micros

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# Receives the name of an event and its fields, none of them personal:
#   state_store_unavailable {operation, error}   the call went on without the store
#   state_store_contended {operation}            conflicts outlasted every attempt
#   stale_token_ignored {operation}              a call finished after its lease had expired
#   answer_not_kept {bytes}                      an answer was too large for an item
Observer = Callable[[str, Mapping[str, object]], None]

RECORD_LIFE_S = KEY_LIFE_S

# An item holds 400 KB including attribute names; a larger answer is rebuilt from the key's row in the database.
MAX_ANSWER_BYTES = 300 * 1024

# DynamoDB cancels a transaction that conflicts with another on one of its items. Only calls of one client, or with one
# key, conflict. With conflicts simulated at 12 ms a transaction, fifty simultaneous calls were all decided within 2 s,
# and none needed the last attempt; with 9 retries of 10 to 150 ms a quarter did, where 30 of 50 may pass.
CONTENTION_BACKOFF = Backoff(retries=15, base_s=0.04, cap_s=0.3)
CONTENDED_RETRY_S = 1.0

# After an unreachable-table error, skip the table for 5 s, so that only one request pays the timeout.
UNAVAILABLE_PAUSE_S = 5.0

_CONFLICTS = frozenset(
    {
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_FAILURES = frozenset({"ConditionalCheckFailed", "ConditionalCheckFailedException"})
_NO_REASON: Mapping[str, Any] = {"Code": "None"}


@dataclass(frozen=True, slots=True)
class _AdmissionRequest:
    """One call of admit(). All its attempts carry the same token, by which it recognises its own write."""

    charge: LimitCharge | None
    use: KeyUse | None
    lease: int
    life: int
    token: str
    take_from: str

    def build_writes(self, table: str, seen: int | None, now: int) -> list[TransactWriteItemTypeDef]:
        """Return the writes of the key and of the charge, as far as each is needed."""
        writes: list[TransactWriteItemTypeDef] = []
        if self.use:
            times = {"lease_ends": now + self.lease, "ends": now + self.life, "now": now}
            put = items.build_take_write(table, self.use, self.token, **times, take_from=self.take_from)
            writes.append({"Put": put})
        if self.charge:
            writes.append({"Update": items.build_charge_write(table, self.charge, seen, now)})
        return writes

    def read_cancellation_reasons(self, error: ClientError) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return why the key and why the bucket was not written; raise the error if another attempt can't succeed."""
        code, response = read_error_code(error), error.response
        cancelled: list[Any] = list(response.get("CancellationReasons", ()))
        given = cancelled or [{"Code": code, "Item": response.get("Item")}] * 2
        if any(reason["Code"] not in _CONFLICTS | _FAILURES | {"None"} for reason in given):
            raise error
        return (given[0] if self.use else _NO_REASON), (given[-1] if self.charge else _NO_REASON)


class DynamoDbAdmissionStore:
    """The AdmissionStore in DynamoDB: `table` has a string key `pk` and the TTL attribute `expires_at`.

    The store counts as unavailable after any error but a failed condition or a conflict: admit() then lets the call
    through without a token, after the client's own timeouts. The key's row in the database remains the truth.

    admit() also returns Admitted without a token for a finished key whose answer was too large to store: the caller
    continues as with a new call, uncharged, and finds the key's row in the database.

    The TATs of `recent_buckets` buckets are remembered locally, about 200 bytes each: a call that the last seen TAT
    rules out is refused without a write. A TAT never decreases, so the table would refuse the call too (unless its
    items were lost; then the refusal ends at the time it named). A call with a key first costs one read, so that a
    limited client still gets its replays from every environment.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        observer: Observer,
        now: Clock = read_utc_now,
        new_token: Callable[[], str] = lambda: secrets.token_hex(16),
        uniform: Callable[[float, float], float] = random.uniform,
        sleep: Callable[[float], None] = time.sleep,
        record_life_s: float = RECORD_LIFE_S,
        recent_buckets: int = gcra.MOST_RECENT_BUCKETS,
    ) -> None:
        self._client = client
        self._table = table
        self._observer = observer
        self._clock = now
        self._new_token = new_token
        self._uniform = uniform
        self._sleep = sleep
        self._record_life = round(record_life_s * SECOND)
        self._tats = gcra.RecentBuckets(recent_buckets)
        self._paused_until = 0

    def admit(
        self, *, charge: LimitCharge | None, use: KeyUse | None, lease_s: float, take_from: str = ""
    ) -> AdmissionDecision:
        """Take the key and charge the limit, both or neither; in one round trip unless calls conflict.

        `take_from` is the token of a holder whose lease is over and whose work is not done.
        """
        if charge is None and use is None:
            return Admitted(quota=None, token=None)
        if self._is_pausing("admit"):
            return Admitted(quota=None, token=None)
        lease = round(lease_s * SECOND)
        request = _AdmissionRequest(charge, use, lease, self._record_life, self._new_token(), take_from)
        try:
            return self._decide(request)
        except BOTO_ERRORS as error:
            self._report_unavailable("admit", error)
            return Admitted(quota=None, token=None)

    def complete(self, use: KeyUse, token: str, answer: StoredAnswer, *, first_used_at: datetime | None = None) -> None:
        """Store the answer for the record's lifetime, if `token` still holds the key; see AdmissionStore.complete."""
        size = _measure_size(answer)
        if size > MAX_ANSWER_BYTES:
            self._observer("answer_not_kept", {"bytes": size})
        stored = answer if size <= MAX_ANSWER_BYTES else None
        began = self._read_now() if first_used_at is None else convert_to_epoch_micros(first_used_at)
        update = items.build_answer_write(self._table, use, token, stored, began + self._record_life)
        self._write_key("complete", lambda: self._client.update_item(**update))

    def release(self, use: KeyUse, token: str) -> None:
        """Release the key, if `token` still holds it and no answer is stored."""
        delete = items.build_release_write(self._table, use, token)
        self._write_key("release", lambda: self._client.delete_item(**delete))

    def _decide(self, request: _AdmissionRequest) -> AdmissionDecision:
        for attempt in range(CONTENTION_BACKOFF.retries + 1):
            if decision := self._refuse(request) or self._try_writing(request, attempt):
                return decision
        return self._refuse_contended(request)

    def _refuse(self, request: _AdmissionRequest) -> AdmissionDecision | None:
        """Refuse what the remembered TAT rules out, unless the key is known: a replay is free."""
        now, charge, tat = self._read_now(), request.charge, self._find_recent_tat(request)
        if charge is None or tat is None or (decision := gcra.decide(charge.limit, tat, now)).accepted:
            return None
        return self._check_key(request) or OverLimit(decision.quota, retry_after_s=decision.retry_after_us / SECOND)

    def _try_writing(self, request: _AdmissionRequest, attempt: int) -> AdmissionDecision | None:
        """Decide in one round trip; return None if only another attempt can tell."""
        now, seen = self._read_now(), self._find_recent_tat(request)
        try:
            tat = self._write(request.build_writes(self._table, seen, now))
        except ClientError as error:
            return self._handle_cancellation(request, error, now, attempt)
        return self._record_admission(request, tat, seen, now)

    def _write(self, writes: list[TransactWriteItemTypeDef]) -> int | None:
        """Write all or nothing; return the bucket's TAT, which a transaction does not return."""
        if len(writes) > 1:
            self._client.transact_write_items(TransactItems=writes)
        elif put := writes[0].get("Put"):
            self._client.put_item(**put)
        elif update := writes[0].get("Update"):
            return items.read_tat(self._client.update_item(**update, ReturnValues="UPDATED_NEW")["Attributes"])
        return None

    def _record_admission(self, request: _AdmissionRequest, tat: int | None, seen: int | None, now: int) -> Admitted:
        """Return Admitted.

        The quota after a transaction is based on the TAT `seen` here; others may have spent more.
        """
        token = request.token if request.use else None
        if request.charge is None:
            return Admitted(quota=None, token=token)
        limit = request.charge.limit
        spent = tat or gcra.decide(limit, seen, now).tat
        self._tats.learn(items.make_bucket_key(request.charge), spent)
        return Admitted(gcra.compute_quota(limit, spent, now), token)

    def _handle_cancellation(
        self, request: _AdmissionRequest, error: ClientError, now: int, attempt: int
    ) -> AdmissionDecision | None:
        record, bucket = request.read_cancellation_reasons(error)
        if request.charge and bucket["Code"] in _FAILURES:
            self._tats.learn(items.make_bucket_key(request.charge), items.read_tat(bucket.get("Item")))
        if record["Code"] in _FAILURES:
            return self._read_key_decision(request, record.get("Item"), now)
        if {record["Code"], bucket["Code"]} & _CONFLICTS:
            self._pause(attempt)
            return self._read_current(request)
        return None

    def _read_current(self, request: _AdmissionRequest) -> AdmissionDecision | None:
        """Read what the conflicting calls have written: reads never conflict, so losing calls stop contending early."""
        if request.charge:
            bucket = items.make_bucket_key(request.charge)
            self._tats.learn(bucket, items.read_tat(self._read_item(bucket)))
        return self._check_key(request)

    def _check_key(self, request: _AdmissionRequest) -> AdmissionDecision | None:
        if request.use is None:
            return None
        return self._read_key_decision(request, self._read_item(items.make_record_key(request.use)), self._read_now())

    def _read_item(self, pk: str) -> items.Item | None:
        key = {"pk": {"S": pk}}
        return self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")

    def _read_key_decision(
        self, request: _AdmissionRequest, record: items.Item | None, now: int
    ) -> AdmissionDecision | None:
        if request.use is None:
            return None
        if items.is_held_by(record, request.token):
            # Our own write, whose answer was lost: its charge is in the table, but not in the TAT remembered here.
            return Admitted(self._compute_quota(request, now), request.token)
        decision = items.read_decision(record, request.use, now, self._record_life)
        if isinstance(decision, InProgress) and decision.has_lapsed and decision.holder == request.take_from:
            return None
        return decision

    def _compute_quota(self, request: _AdmissionRequest, now: int) -> Quota | None:
        charge = request.charge
        return gcra.compute_quota(charge.limit, self._find_recent_tat(request) or now, now) if charge else None

    def _refuse_contended(self, request: _AdmissionRequest) -> AdmissionDecision:
        """Refuse a call whose conflicts outlasted every attempt: otherwise contention would be a way around a limit."""
        self._observer("state_store_contended", {"operation": "admit"})
        quota = self._compute_quota(request, self._read_now())
        return OverLimit(quota, CONTENDED_RETRY_S) if quota else InProgress(CONTENDED_RETRY_S)

    def _write_key(self, operation: str, write: Callable[[], object]) -> None:
        if self._is_pausing(operation):
            return
        try:
            self._retry_conflicts(write)
        except BOTO_ERRORS as error:
            if read_error_code(error) in _FAILURES:
                self._observer("stale_token_ignored", {"operation": operation})
            else:
                self._report_unavailable(operation, error)

    def _retry_conflicts(self, write: Callable[[], object]) -> None:
        for attempt in range(CONTENTION_BACKOFF.retries):
            try:
                write()
            except ClientError as error:
                if read_error_code(error) not in _CONFLICTS:
                    raise
                self._pause(attempt)
            else:
                return
        write()

    def _pause(self, attempt: int) -> None:
        self._sleep(CONTENTION_BACKOFF.compute_delay(attempt, self._uniform))

    def _find_recent_tat(self, request: _AdmissionRequest) -> int | None:
        return self._tats.get(items.make_bucket_key(request.charge)) if request.charge else None

    def _read_now(self) -> int:
        return convert_to_epoch_micros(self._clock())

    def _is_pausing(self, operation: str) -> bool:
        is_pausing = self._read_now() < self._paused_until
        if is_pausing:
            self._observer("state_store_unavailable", {"operation": operation, "error": "Pause"})
        return is_pausing

    def _report_unavailable(self, operation: str, error: ClientError | BotoCoreError) -> None:
        if not isinstance(error, ClientError | OutOfTime):
            self._paused_until = self._read_now() + round(UNAVAILABLE_PAUSE_S * SECOND)
        self._observer("state_store_unavailable", {"operation": operation, "error": read_error_code(error)})


def _measure_size(answer: StoredAnswer) -> int:
    facts = json.dumps(answer.facts) if answer.facts is not None else ""
    texts = [answer.body, *answer.headers.keys(), *answer.headers.values(), facts]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
