"""Powertools for AWS Lambda alone: its resolver with validation, its idempotency, and psycopg.

The connection is a global of the module and is kept between calls, as AWS advises. There is no limit per client, and
nothing wakes the relay; a call that dies after its commit does its work again. Powertools' documentation takes the key
from the header and stores the handler's whole answer.
"""

import json
import os
from datetime import date, datetime
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any
from uuid import uuid4

import psycopg
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent
from aws_lambda_powertools.utilities.typing import LambdaContext
from psycopg.rows import dict_row

from bench.peers.models import ClaimInput, ClaimOutput, MemberInput, MemberOutput, MembershipOutput

logger = Logger()
app = APIGatewayRestResolver(enable_validation=True)
persistence = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"])
config = IdempotencyConfig(event_key_jmespath='headers."Idempotency-Key"', raise_on_no_idempotency_key=True)


@cache
def get_connection() -> psycopg.Connection[dict[str, Any]]:
    """Return the environment's connection."""
    host, port, name = os.environ["DB_HOST"], os.environ["DB_PORT"], os.environ["DB_NAME"]
    connection: psycopg.Connection[dict[str, Any]] = psycopg.connect(
        host=host, port=port, dbname=name, user=os.environ["OWNER"], autocommit=True, row_factory=dict_row
    )
    return connection


def get_sub() -> str:
    """Return the caller's identity."""
    return str(app.current_event["requestContext"]["authorizer"]["claims"]["sub"])


@app.post("/members")
def register_member(new: Annotated[MemberInput, Body()]) -> Response[MemberOutput]:
    """Register a member."""
    member_id, today = uuid4(), date.today()  # noqa: DTZ011 - the local day, which is the machine's here
    connection = get_connection()
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts (id, role, email, full_name, phone, language, terms_version)"
            " VALUES (%s, 'member', %s, %s, %s, %s, %s)",
            (member_id, new.email, new.full_name, new.phone, new.language, new.terms_version),
        )
        cursor.execute(
            "INSERT INTO members (id, country, registered_on) VALUES (%s, %s, %s)"
            " RETURNING number, created_at, version",
            (member_id, new.country, today),
        )
        member = cursor.fetchone() or {}
        cursor.execute(
            "INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, anchor_on, period_starts_on,"
            " renewed_on, price, currency)"
            " SELECT %(id)s, %(member)s, plan, 'active', d, year_end(d, d), d, d, d, price, currency"
            " FROM plans, (SELECT %(today)s::date AS d) AS t WHERE plan = %(plan)s"
            " RETURNING plan, state, starts_on, ends_on, price::text, currency, cancel_at_period_end",
            {"id": uuid4(), "member": member_id, "today": today, "plan": new.plan},
        )
        membership = cursor.fetchone() or {}
        mail = {"template": "member-welcome", "to": f"account:{member_id}", "facts": {}}
        sign_in = {"account_id": str(member_id), "group": "member"}
        cursor.execute(
            "INSERT INTO outbox (id, kind, priority, subject_id, payload)"
            " VALUES (%s, 'identity', 'high', %s, %s), (%s, 'mail', 'high', %s, %s)",
            (uuid4(), member_id, json.dumps(sign_in), uuid4(), member_id, json.dumps(mail)),
        )
        cursor.execute(
            "INSERT INTO audit (id, action, subject_id, actor, request_id, facts)"
            " VALUES (%s, 'member.registered', %s, 'anonymous', %s, %s)",
            (uuid4(), member_id, app.current_event.request_context.request_id, json.dumps({"plan": new.plan})),
        )
    answer = MemberOutput(id=member_id, membership=MembershipOutput(**membership), **member, **new.model_dump())
    headers = {"Location": f"/members/{member_id}"}
    return Response(HTTPStatus.CREATED, content_types.APPLICATION_JSON, answer, headers=headers)


@app.get("/members/me")
def read_member() -> MemberOutput:
    """Read the caller's own record."""
    cursor = get_connection().execute(
        "SELECT m.id, m.number, a.full_name, a.email, a.phone, m.country, a.language, m.created_at, m.version,"
        " s.plan, s.state, s.starts_on, s.ends_on, s.price::text, s.currency, s.cancel_at_period_end"
        " FROM members m JOIN accounts a USING (id) JOIN subscriptions s ON s.member_id = m.id"
        " WHERE a.identity_sub = %s",
        (get_sub(),),
    )
    row = cursor.fetchone()
    if row is None:
        raise NotFoundError("Not found")
    return MemberOutput(membership=MembershipOutput(**row), **row)


@app.post("/claims")
def submit_claim(new: Annotated[ClaimInput, Body()]) -> Response[ClaimOutput]:
    """Submit a claim."""
    claim_id, sub, today = uuid4(), get_sub(), date.today()  # noqa: DTZ011
    connection = get_connection()
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT m.id FROM accounts a JOIN members m USING (id) WHERE a.identity_sub = %s", (sub,))
        member = cursor.fetchone()
        if member is None:
            raise ServiceError(HTTPStatus.FORBIDDEN, "Only members have claims")
        cursor.execute(
            "INSERT INTO claims (id, member_id, submitted_on, category, title, company_name, description,"
            " incident_date, incident_country, amount, currency) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " RETURNING number, state, created_at, updated_at, version",
            (
                *(claim_id, member["id"], today, new.category, new.title, new.company_name, new.description),
                *(new.incident_date, new.incident_country, new.amount, new.currency),
            ),
        )
        claim = cursor.fetchone() or {}
        cursor.execute(
            "INSERT INTO claim_history (claim_id, version, to_state, actor_role, actor_id)"
            " VALUES (%s, %s, %s, 'member', %s)",
            (claim_id, claim["version"], claim["state"], member["id"]),
        )
        received = {"template": "claim-received", "to": f"account:{member['id']}", "facts": {}}
        notice = {"template": "staff-new-claim", "to": "desk", "facts": {}}
        cursor.execute(
            "INSERT INTO outbox (id, kind, priority, subject_id, payload)"
            " VALUES (%s, 'mail', 'normal', %s, %s), (%s, 'mail', 'normal', %s, %s)",
            (uuid4(), claim_id, json.dumps(received), uuid4(), claim_id, json.dumps(notice)),
        )
        cursor.execute(
            "INSERT INTO audit (id, action, subject_id, actor, request_id, facts)"
            " VALUES (%s, 'claim.submitted', %s, %s, %s, %s)",
            (
                *(uuid4(), claim_id, sub, app.current_event.request_context.request_id),
                json.dumps({"category": new.category}),
            ),
        )
    answer = ClaimOutput(id=claim_id, **claim, **new.model_dump())
    headers = {"Location": f"/claims/{claim_id}"}
    return Response(HTTPStatus.CREATED, content_types.APPLICATION_JSON, answer, headers=headers)


@app.get("/health")
def check_process() -> dict[str, str]:
    """Answer that the process lives."""
    return {"status": "healthy", "version": "bench", "time": datetime.now().astimezone().isoformat()}


@idempotent(persistence_store=persistence, config=config)
def answer_once(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a write; a repeat gets the first answer."""
    return app.resolve(event, context)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve as Lambda's entry point."""
    answer: dict[str, Any] = (answer_once if event["httpMethod"] == "POST" else app.resolve)(event, context)
    return answer
