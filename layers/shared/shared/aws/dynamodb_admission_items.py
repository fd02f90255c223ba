"""The items of the state table, as dictionaries: what is written, on which condition, and how it is read.

A client's bucket   pk `limit#<name>#<sha256>`    tat
A key's record      pk `key#<sha256>`             fingerprint holder phase free_at [answer | renewable]

`tat` and `free_at` are epoch microseconds: when the bucket is full again, and when the key may be taken
(the end of its holder's lease while it runs, the end of its life once it is answered). `holder` is the
fencing token. `expires_at` (epoch seconds) is DynamoDB's to delete by, always later than the other two:
deletion can be days late and never changes a decision, because the conditions look at the time themselves.
`renewable` is an answer without the part that expires, and the facts to make that from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.admission import gcra
from shared.admission.ports import (
    AdmissionVerdict,
    Admitted,
    InProgress,
    KeyReused,
    KeyUse,
    LimitCharge,
    RateLimit,
    Replay,
    StoredAnswer,
)
from shared.units import SECOND

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import (
        DeleteTypeDef,
        PutTypeDef,
        UniversalAttributeValueTypeDef,
        UpdateTypeDef,
    )

    Values = dict[str, UniversalAttributeValueTypeDef]

Item = Mapping[str, Any]

# Deleted only when every clock of the fleet agrees that it is over.
TTL_MARGIN_S = 3600

# Most first calls are answered within a second, and Retry-After has no smaller unit.
RUNNING_RETRY_S = 1.0

RUNNING = "running"
ANSWERED = "answered"
UNKEPT = "unkept"


def make_bucket_key(charge: LimitCharge) -> str:
    """Return the key of the client's bucket: hashed, so that no caller can put an address into the table."""
    return f"limit#{charge.limit.name}#{_hash_text(charge.bucket)}"


def make_record_key(use: KeyUse) -> str:
    """Return the key of the record: hashed, because a scope can hold an address and a key 255 characters."""
    return "key#" + _hash_text(f"{use.scope}\0{use.key}")


def build_charge_write(table: str, charge: LimitCharge, seen: int | None, now: int) -> UpdateTypeDef:
    """Spend one request, supposing the bucket's TAT to be about `seen`.

    A TAT becomes `max(tat, now) + interval`, and an expression has no max(). So there are two forms: one
    for a bucket that is full again, one for a bucket in use. The wrong one fails and shows the TAT.
    """
    idle = seen is None or seen <= now
    update, condition, values = (_spend_idle if idle else _spend_busy)(charge.limit, now)
    values[":now"] = _build_number(now)
    values[":gone"] = _compute_expiry(now + charge.limit.burst * gcra.compute_interval(charge.limit))
    return {
        "TableName": table,
        "Key": {"pk": {"S": make_bucket_key(charge)}},
        "UpdateExpression": f"SET tat = {update}, expires_at = :gone",
        "ConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _spend_idle(limit: RateLimit, now: int) -> tuple[str, str, Values]:
    values: Values = {":spent": _build_number(now + gcra.compute_interval(limit))}
    return ":spent", "attribute_not_exists(tat) OR tat <= :now", values


def _spend_busy(limit: RateLimit, now: int) -> tuple[str, str, Values]:
    latest = gcra.compute_latest_tat(limit, now)
    values: Values = {":interval": _build_number(gcra.compute_interval(limit)), ":latest": _build_number(latest)}
    return "tat + :interval", "tat > :now AND tat <= :latest", values


def build_take_write(table: str, use: KeyUse, token: str, lease_ends: int, now: int) -> PutTypeDef:
    """Take the key for `token` until `lease_ends`, if it is free."""
    return {
        "TableName": table,
        "Item": {
            "pk": {"S": make_record_key(use)},
            "fingerprint": {"S": use.fingerprint},
            "holder": {"S": token},
            "phase": {"S": RUNNING},
            "free_at": _build_number(lease_ends),
            "expires_at": _compute_expiry(lease_ends),
        },
        "ConditionExpression": "attribute_not_exists(pk) OR free_at <= :now",
        "ExpressionAttributeValues": {":now": _build_number(now)},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def build_answer_write(table: str, use: KeyUse, token: str, answer: StoredAnswer | None, ends: int) -> UpdateTypeDef:
    """Answer the key until `ends`, if `token` still holds it; None answers it without keeping the answer."""
    values: Values = {
        ":token": {"S": token},
        ":phase": {"S": UNKEPT if answer is None else ANSWERED},
        ":ends": _build_number(ends),
        ":gone": _compute_expiry(ends),
    }
    attribute = "answer" if answer is None or answer.facts is None else "renewable"
    if answer is not None:
        values[":answer"] = _build_stored_answer(answer)
    return {
        "TableName": table,
        "Key": {"pk": {"S": make_record_key(use)}},
        "UpdateExpression": "SET phase = :phase, free_at = :ends, expires_at = :gone"
        + (f", {attribute} = :answer" if answer is not None else ""),
        "ConditionExpression": "holder = :token",
        "ExpressionAttributeValues": values,
    }


def build_release_write(table: str, use: KeyUse, token: str) -> DeleteTypeDef:
    """Remove the record, if `token` still holds it and has not answered."""
    return {
        "TableName": table,
        "Key": {"pk": {"S": make_record_key(use)}},
        "ConditionExpression": "holder = :token AND phase = :running",
        "ExpressionAttributeValues": {":token": {"S": token}, ":running": {"S": RUNNING}},
    }


def read_tat(item: Item | None) -> int | None:
    """Return the bucket's TAT; None for a bucket that is not there."""
    return int(item["tat"]["N"]) if item else None


def is_held_by(item: Item | None, token: str) -> bool:
    """Tell whether the key is `token`'s."""
    return item is not None and bool(item["holder"]["S"] == token)


def read_verdict(item: Item | None, use: KeyUse, now: int) -> AdmissionVerdict | None:
    """Return what a key's record means for another call with the key; None where the key is free."""
    if not item or int(item["free_at"]["N"]) <= now:
        return None
    if item["fingerprint"]["S"] != use.fingerprint:
        return KeyReused()
    if item["phase"]["S"] == RUNNING:
        return InProgress(retry_after_s=RUNNING_RETRY_S)
    stored = item.get("answer") or item.get("renewable")
    return Replay(_read_stored_answer(stored["M"])) if stored else Admitted(quota=None, token=None)


def _build_stored_answer(answer: StoredAnswer) -> UniversalAttributeValueTypeDef:
    headers: Values = {k: {"S": v} for k, v in answer.headers.items()}
    attributes: Values = {"status": _build_number(answer.status), "headers": {"M": headers}, "body": {"S": answer.body}}
    if answer.facts is not None:
        attributes["facts"] = {"S": json.dumps(answer.facts)}
    return {"M": attributes}


def _read_stored_answer(stored: Item) -> StoredAnswer:
    headers = {name: value["S"] for name, value in stored["headers"]["M"].items()}
    facts = json.loads(stored["facts"]["S"]) if "facts" in stored else None
    return StoredAnswer(int(stored["status"]["N"]), headers, stored["body"]["S"], facts)


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _build_number(value: int) -> UniversalAttributeValueTypeDef:
    return {"N": str(value)}


def _compute_expiry(micros: int) -> UniversalAttributeValueTypeDef:
    return _build_number(-(-micros // SECOND) + TTL_MARGIN_S)
