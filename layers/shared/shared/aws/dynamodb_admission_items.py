"""The items of the state table, as dictionaries: what is written, under which condition, and how it is read.

A client's bucket   pk `limit#<name>#<sha256>`    tat
A key's record      pk `key#<sha256>`  fingerprint holder phase free_at known_until
                    [origin] [facts | answer | renewable]

`tat`, `free_at` and `known_until` are epoch microseconds. At `tat` the bucket is full again. At `free_at` the holder's
lease ends: if no answer is stored by then, another call may take the key from it. At `known_until` the key is free for
any request; a record of an earlier release has none, and its key is free at `free_at`. `holder` is the fencing token.
`phase` is `running` until an answer is stored: by the relay as `facts`, of which a repeat makes its answer, or by a
call as `answer`, which replaces them. Until then the key's row in the database shows whether the work is done.
DynamoDB deletes an item some time after `expires_at` (epoch seconds), which is always later than the others:
deletion can be days late and never changes a decision, because the conditions check the time themselves. `renewable` is
an answer without the part that expires, and the facts from which that part is made. `origin` is the call that took the
key, by which operators find what a restored database has lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.admission import gcra
from shared.admission.ports import (
    AdmissionDecision,
    Admitted,
    InProgress,
    KeyOrigin,
    KeyReused,
    KeyUse,
    LimitCharge,
    RateLimit,
    Replay,
    StoredAnswer,
    UnkeptAnswer,
    WorkDone,
)
from shared.units import SECOND, convert_from_epoch_micros, convert_to_epoch_micros

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import (
        DeleteTypeDef,
        PutTypeDef,
        UniversalAttributeValueTypeDef,
        UpdateTypeDef,
    )

    Values = dict[str, UniversalAttributeValueTypeDef]

Item = Mapping[str, Any]

# Deleted only after the clocks of all environments agree that it has expired.
TTL_MARGIN_S = 3600

# Most first calls finish within a second, and Retry-After has no smaller unit.
RUNNING_RETRY_S = 1.0

RUNNING = "running"
ANSWERED = "answered"
TOO_LARGE = "unkept"  # as the items of earlier releases have it, too
# What every write that finishes a key sets, with :phase, :ends and :gone.
_FINISH = "SET phase = :phase, free_at = :ends, known_until = :ends, expires_at = :gone"


def make_bucket_key(charge: LimitCharge) -> str:
    """Return the primary key of a client's bucket: hashed, so that no caller can put an address into the table."""
    return f"limit#{charge.limit.name}#{_hash_text(charge.bucket)}"


def make_record_key(use: KeyUse) -> str:
    """Return the primary key of a key's record: hashed, since scopes can contain addresses and keys 255 characters."""
    return "key#" + _hash_text(f"{use.scope}\0{use.key}")


def build_charge_write(table: str, charge: LimitCharge, seen: int | None, now: int) -> UpdateTypeDef:
    """Return the write that spends one request, assuming that the bucket's TAT is about `seen`.

    A TAT becomes `max(tat, now) + interval`, and update expressions have no max(). So there are two forms: one for a
    bucket that is full again, one for a bucket in use. The wrong form fails and returns the TAT.
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


def build_take_write(
    table: str, use: KeyUse, token: str, *, lease_ends: int, ends: int, now: int, take_from: str = ""
) -> PutTypeDef:
    """Return the write that takes a key for `token` until `lease_ends`, and makes it known until `ends`.

    The key must be free, or held by `take_from`, whose lease is over.
    """
    item: Values = {
        "pk": {"S": make_record_key(use)},
        "fingerprint": {"S": use.fingerprint},
        "holder": {"S": token},
        "phase": {"S": RUNNING},
        "free_at": _build_number(lease_ends),
        "known_until": _build_number(ends),
        "expires_at": _compute_expiry(max(ends, lease_ends)),
    }
    if use.origin is not None:
        item["origin"] = _build_origin(use.origin)
    free = "attribute_not_exists(pk) OR known_until <= :now"
    condition = f"{free} OR (attribute_not_exists(known_until) AND free_at <= :now)"
    values: Values = {":now": _build_number(now)}
    if take_from:
        condition += " OR (holder = :from AND phase = :running AND free_at <= :now)"
        values |= {":from": {"S": take_from}, ":running": {"S": RUNNING}}
    return {
        "TableName": table,
        "Item": item,
        "ConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def build_answer_write(table: str, use: KeyUse, token: str, answer: StoredAnswer | None, ends: int) -> UpdateTypeDef:
    """Return the write that finishes a key still held by `token`, until `ends`; None stores no answer.

    An answer replaces the facts that the relay may have stored: an item has no room for both of the largest. Where the
    answer is too large, the facts stay, of which it can be made.
    """
    values: Values = {
        ":token": {"S": token},
        ":phase": {"S": TOO_LARGE if answer is None else ANSWERED},
        ":ends": _build_number(ends),
        ":gone": _compute_expiry(ends),
    }
    attribute = "answer" if answer is None or answer.facts is None else "renewable"
    if answer is not None:
        values[":answer"] = _build_stored_answer(answer)
    return {
        "TableName": table,
        "Key": {"pk": {"S": make_record_key(use)}},
        "UpdateExpression": _FINISH + (f", {attribute} = :answer REMOVE facts" if answer is not None else ""),
        "ConditionExpression": "holder = :token",
        "ExpressionAttributeValues": values,
    }


def build_facts_write(table: str, answer: UnkeptAnswer, life: int, *, is_stored: bool) -> UpdateTypeDef:
    """Return the write that finishes a key whose record waits for this answer, until `life` after its first use.

    A record that another call holds, or that has an answer, stays as it is.
    """
    ends = convert_to_epoch_micros(answer.first_used_at) + life
    values: Values = {
        ":token": {"S": answer.holder},
        ":running": {"S": RUNNING},
        ":phase": {"S": ANSWERED if is_stored else TOO_LARGE},
        ":ends": _build_number(ends),
        ":gone": _compute_expiry(ends),
    }
    if is_stored:
        values[":facts"] = {"S": answer.facts}
    return {
        "TableName": table,
        "Key": {"pk": {"S": make_record_key(KeyUse(answer.scope, answer.key, ""))}},
        "UpdateExpression": _FINISH + (", facts = :facts" if is_stored else ""),
        "ConditionExpression": "phase = :running AND holder = :token",
        "ExpressionAttributeValues": values,
    }


def build_release_write(table: str, use: KeyUse, token: str) -> DeleteTypeDef:
    """Return the write that removes a record still held by `token` and without an answer."""
    return {
        "TableName": table,
        "Key": {"pk": {"S": make_record_key(use)}},
        "ConditionExpression": "holder = :token AND phase = :running",
        "ExpressionAttributeValues": {":token": {"S": token}, ":running": {"S": RUNNING}},
    }


def read_tat(item: Item | None) -> int | None:
    """Return the TAT of a bucket's item, None if there is no item."""
    return int(item["tat"]["N"]) if item else None


def is_held_by(item: Item | None, token: str) -> bool:
    """Return whether `token` holds the key."""
    return item is not None and bool(item["holder"]["S"] == token)


def read_decision(item: Item | None, use: KeyUse, now: int, life: int) -> AdmissionDecision | None:
    """Return what a key's record means for another call with the key; None if the key is free.

    A stored answer ends `life` after the key's first use.
    """
    if not item or read_end(item) <= now:
        return None
    if item["fingerprint"]["S"] != use.fingerprint:
        return KeyReused()
    if item["phase"]["S"] == RUNNING:
        return InProgress(RUNNING_RETRY_S, holder=item["holder"]["S"], has_lapsed=int(item["free_at"]["N"]) <= now)
    if answer := read_answer(item):
        return Replay(answer)
    if "facts" in item:
        return WorkDone(read_facts(item), convert_from_epoch_micros(read_end(item) - life), item["holder"]["S"])
    return Admitted(quota=None, token=None)


def read_end(item: Item) -> int:
    """Return the time from which a key is free for anything."""
    return int(item.get("known_until", item["free_at"])["N"])


def _build_origin(origin: KeyOrigin) -> UniversalAttributeValueTypeDef:
    ids: list[UniversalAttributeValueTypeDef] = [{"S": each} for each in origin.ids]
    kept: Values = {"operation": {"S": origin.operation}, "request_id": {"S": origin.request_id}, "ids": {"L": ids}}
    if origin.status is not None:
        kept["status"] = _build_number(origin.status)
    return {"M": kept}


def read_origin(item: Item) -> KeyOrigin | None:
    """Return the call that took a key; None for a record of a release that did not keep it."""
    if "origin" not in item:
        return None
    kept = item["origin"]["M"]
    status = int(kept["status"]["N"]) if "status" in kept else None
    ids = tuple(each["S"] for each in kept["ids"]["L"])
    return KeyOrigin(kept["operation"]["S"], kept["request_id"]["S"], ids, status)


def read_answer(item: Item) -> StoredAnswer | None:
    """Return the answer that a record holds, without the part that expires; None if it was too large to store."""
    stored = item.get("answer") or item.get("renewable")
    return _read_stored_answer(stored["M"]) if stored else None


def read_facts(item: Item) -> Any:
    """Return the facts that the relay has stored; None if it has stored none."""
    return json.loads(item["facts"]["S"]) if "facts" in item else None


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
