"""The floor: the statements and calls that the service makes, one call after the other, by psycopg and raw HTTP.

It admits (limit and key), runs the transaction in one pipeline, and wakes the relay. It validates nothing, signs
nothing, repeats nothing and knows no errors: what is left is what the service can't do without. The statements are
those of the service's .sql files.
"""

import json
import os
import re
import time
from datetime import date, datetime
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

ROOT = Path(__file__).resolve().parent.parent.parent
TABLE = os.environ["STATE_TABLE"]
SECTION = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
DAY_S = 86_400
HIDDEN = ("assignee_id", "member_id", "stuck")  # of a claim's facts, not of its answer


def read_sql(path: str) -> dict[str, str]:
    """Return the statements of a .sql file by name."""
    _, *parts = SECTION.split((ROOT / path).read_text(encoding="utf-8"))
    lines = {name: text.strip().splitlines() for name, text in zip(parts[::2], parts[1::2], strict=True)}
    return {name: "\n".join(line for line in text if not line.startswith("--")) for name, text in lines.items()}


MEMBERS = read_sql("functions/members/members/queries.sql")
CLAIMS = read_sql("functions/claims/claims/queries.sql")
JOBS = read_sql("layers/shared/shared/outbox/jobs.sql")
PAYLOADS = read_sql("layers/shared/shared/outbox/payload.sql")
AUDIT = read_sql("layers/shared/shared/outbox/audit.sql")
KEYS = read_sql("layers/shared/shared/database/keys.sql")
ACCESS = read_sql("layers/shared/shared/api/auth/access.sql")
ENQUEUE_RECEIVED = CLAIMS["enqueue_received"].replace("{enqueue_mails}", PAYLOADS["enqueue_mails"])


@cache
def get_connection() -> psycopg.Connection[dict[str, Any]]:
    """Return the environment's connection."""
    host, port, name = os.environ["DB_HOST"], os.environ["DB_PORT"], os.environ["DB_NAME"]
    connection: psycopg.Connection[dict[str, Any]] = psycopg.connect(
        host=host, port=port, dbname=name, user=os.environ["OWNER"], autocommit=True, row_factory=dict_row
    )
    connection.prepare_threshold = None
    return connection


@cache
def get_http() -> HTTPConnection:
    """Return the environment's connection to AWS."""
    address = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    connection = HTTPConnection(address.hostname or "", address.port)
    connection.connect()
    return connection


def send_aws(service: str, target: str, body: dict[str, Any]) -> None:
    """Send one call, and read its answer."""
    kind = "application/x-amz-json-1.0"
    scope = f"Credential=test/20261127/eu-central-1/{service}/aws4_request"
    headers = {"Content-Type": kind, "X-Amz-Target": target, "Authorization": f"AWS4-HMAC-SHA256 {scope}"}
    connection = get_http()
    connection.request("POST", "/", json.dumps(body).encode(), headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(content.decode())


def build_charge(bucket: str) -> dict[str, Any]:
    """Return the write that spends one request of a client."""
    now = time.time_ns() // 1000
    return {
        "TableName": TABLE,
        "Key": {"pk": {"S": f"limit#{bucket}"}},
        "UpdateExpression": "SET tat = :spent, expires_at = :gone",
        "ConditionExpression": "attribute_not_exists(tat) OR tat <= :now",
        "ExpressionAttributeValues": {
            ":spent": {"N": str(now)},
            ":now": {"N": str(now)},
            ":gone": {"N": str(now // 1_000_000 + DAY_S)},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def build_take(key: str, request_id: str) -> dict[str, Any]:
    """Return the write that takes a key."""
    now = time.time_ns() // 1000
    origin = {"operation": {"S": "POST"}, "request_id": {"S": request_id}, "ids": {"L": []}}
    return {
        "TableName": TABLE,
        "Item": {
            "pk": {"S": f"key#{key}"},
            "fingerprint": {"S": key},
            "holder": {"S": key},
            "phase": {"S": "running"},
            "free_at": {"N": str(now + 28_000_000)},
            "expires_at": {"N": str(now // 1_000_000 + DAY_S)},
            "origin": {"M": origin},
        },
        "ConditionExpression": "attribute_not_exists(pk) OR free_at <= :now",
        "ExpressionAttributeValues": {":now": {"N": str(now)}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def admit(bucket: str, key: str, request_id: str) -> None:
    """Charge the limit and take the key."""
    writes = [{"Put": build_take(key, request_id)}, {"Update": build_charge(bucket)}]
    send_aws("dynamodb", "DynamoDB_20120810.TransactWriteItems", {"TransactItems": writes})


def wake_relay(*jobs: object) -> None:
    """Wake the relay for these jobs."""
    body = json.dumps({"hops": 0, "jobs": sorted(map(str, jobs))})
    send_aws("sqs", "AmazonSQS.SendMessage", {"QueueUrl": os.environ["NUDGE_QUEUE_URL"], "MessageBody": body})


def run(*statements: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Run a transaction in one round trip; return the facts of its last statement."""
    connection = get_connection()
    with connection.pipeline():
        cursors = [connection.execute(cast("Any", sql), params) for sql, params in statements]
    row = cursors[-1].fetchone() or {}
    return cast("dict[str, Any]", row["facts"])


def keep(sql: str, params: dict[str, Any], key: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the statement that selects an answer's facts and stores them under the key."""
    return KEYS["keep_answer"].replace("{facts}", sql), {**params, "key_scope": key["scope"], "key_key": key["key"]}


def build_audit(action: str, subject: object, actor: str, request_id: str, facts: dict[str, str]) -> dict[str, Any]:
    """Return the parameters of an audit entry."""
    facts_json = json.dumps(facts)
    ids = {"id": uuid4(), "subject_id": subject, "request_id": request_id}
    return {**ids, "action": action, "actor": actor, "facts": facts_json, "if_written": None}


def build_job(kind: str, priority: str, subject: object, payload: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a job."""
    columns = {"kind": kind, "priority": priority, "subject_id": subject, "payload": json.dumps(payload)}
    return {"id": uuid4(), **columns, "origin": "{}", "if_written": None}


def register_member(event: dict[str, Any], key: str, request_id: str) -> dict[str, Any]:
    """Register a member."""
    new = {"referral_code": None, **json.loads(event["body"])}
    admit(f"member-registration#{event['requestContext']['identity']['sourceIp']}", key, request_id)
    member, today = uuid4(), date.today()  # noqa: DTZ011 - the local day, which is the machine's here
    use = {"scope": "anonymous POST /members", "key": key}
    day = {"id": member, "today": today}
    agent = {"agent_sub": None, "referral_code": None}
    earned = {"id": uuid4(), "member_id": member, "kind": "new", "rate": "0.20", "today": today}
    sign_in = build_job("identity", "high", member, {"account_id": str(member), "group": "member"})
    letter = {"template": "member-welcome", "to": f"account:{member}", "facts": {}}
    mail = {**build_job("mail", "high", member, letter), "address": new["email"], "template": "member-welcome"}
    facts = run(
        (KEYS["take_key"], {**use, "fingerprint": key, "holder": key}),
        (MEMBERS["insert_account"], {**new, "id": member}),
        (MEMBERS["insert_member"], {**day, "country": new["country"], **agent}),
        (
            MEMBERS["insert_subscription"],
            {"id": uuid4(), "member_id": member, "plan": new["plan"], "today": today},
        ),
        (MEMBERS["insert_agent_client"], {"member_id": member}),
        (MEMBERS["insert_commission"], earned),
        (JOBS["enqueue"], sign_in),
        (JOBS["enqueue_once_a_day"], mail),
        (AUDIT["record"], build_audit("member.registered", member, "anonymous", request_id, {"plan": new["plan"]})),
        keep(MEMBERS["registered"], day, use),
    )
    wake_relay(sign_in["id"], mail["id"])
    return facts


def submit_claim(event: dict[str, Any], key: str, request_id: str) -> dict[str, Any]:
    """Submit a claim."""
    new, sub = json.loads(event["body"]), event["requestContext"]["authorizer"]["claims"]["sub"]
    admit(f"claim-submission#{sub}", key, request_id)
    claim, use = uuid4(), {"scope": f"{sub} POST /claims", "key": key}
    notice = build_job("mail", "normal", claim, {"template": "staff-new-claim", "to": "desk", "facts": {}})
    received = {"job_id": uuid4(), "id": claim, "origin": "{}"}
    facts = run(
        (KEYS["take_key"], {**use, "fingerprint": key, "holder": key}),
        (ACCESS["authorize"], {"sub": sub, "roles": ["member"], "kind": None, "record": None}),
        (CLAIMS["require_member"], {"sub": sub}),
        (CLAIMS["insert_claim"], {**new, "id": claim, "sub": sub, "today": date.today()}),  # noqa: DTZ011
        (CLAIMS["insert_first_history"], {"id": claim}),
        (ENQUEUE_RECEIVED, received),
        (JOBS["enqueue"], notice),
        (AUDIT["record"], build_audit("claim.submitted", claim, sub, request_id, {"category": new["category"]})),
        keep(CLAIMS["claim"], {"id": claim, "sub": sub, "staff": False}, use),
    )
    wake_relay(received["job_id"], notice["id"])
    return {name: value for name, value in facts.items() if name not in HIDDEN}


def read_member(event: dict[str, Any]) -> dict[str, Any]:
    """Read the caller's own record."""
    sub = event["requestContext"]["authorizer"]["claims"]["sub"]
    send_aws("dynamodb", "DynamoDB_20120810.UpdateItem", build_charge(f"read#{sub}"))
    own = {"id": None, "sub": sub, "staff": False, "today": date.today()}  # noqa: DTZ011
    return run(
        (ACCESS["authorize"], {"sub": sub, "roles": ["member"], "kind": None, "record": None}), (MEMBERS["member"], own)
    )


def check_process() -> dict[str, Any]:
    """Answer that the process lives."""
    return {"status": "healthy", "version": "bench", "time": datetime.now().astimezone().isoformat()}


def answer_request(event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the status and the facts of the answer."""
    key, request_id = event["headers"].get("Idempotency-Key", ""), event["requestContext"]["requestId"]
    match event["httpMethod"], event["resource"]:
        case "POST", "/members":
            return 201, register_member(event, key, request_id)
        case "POST", "/claims":
            return 201, submit_claim(event, key, request_id)
        case "GET", "/members/me":
            return 200, read_member(event)
        case _:
            return 200, check_process()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Serve as Lambda's entry point."""
    status, facts = answer_request(event)
    headers = {"Content-Type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(facts, default=str)}
