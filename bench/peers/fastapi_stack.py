"""FastAPI with SQLAlchemy's ORM behind Mangum, and Powertools' idempotency.

The session is a dependency, as FastAPI's documentation has it, the engine a global of the module with its default
pool. There is no limit per client, and nothing wakes the relay.
"""

import os
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any
from uuid import uuid4

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent
from aws_lambda_powertools.utilities.typing import LambdaContext
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from mangum import Mangum
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from bench.peers.models import ClaimInput, ClaimOutput, MemberInput, MemberOutput, MembershipOutput
from bench.peers.tables import (
    AccountRow,
    AuditRow,
    ClaimRow,
    HistoryRow,
    MemberRow,
    OutboxRow,
    PlanRow,
    SubscriptionRow,
)

logger = Logger()
engine = create_engine(
    f"postgresql+psycopg://{os.environ['OWNER']}@{os.environ['DB_HOST']}:{os.environ['DB_PORT']}/{os.environ['DB_NAME']}"
)
SessionLocal = sessionmaker(autoflush=False, bind=engine)
persistence = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"])
config = IdempotencyConfig(event_key_jmespath='headers."Idempotency-Key"', raise_on_no_idempotency_key=True)


app = FastAPI()


def get_session() -> Iterator[Session]:
    """Yield a session for one request."""
    with SessionLocal() as session:
        yield session


def get_sub(request: Request) -> str:
    """Return the caller's identity."""
    return str(request.scope["aws.event"]["requestContext"]["authorizer"]["claims"]["sub"])


def get_request_id(request: Request) -> str:
    """Return the id of the request."""
    return str(request.scope["aws.event"]["requestContext"]["requestId"])


CurrentSession = Annotated[Session, Depends(get_session)]
Sub = Annotated[str, Depends(get_sub)]
RequestId = Annotated[str, Depends(get_request_id)]


def build_member(member: MemberRow, account: AccountRow, subscription: SubscriptionRow) -> MemberOutput:
    """Return the answer about a member."""
    return MemberOutput(
        id=member.id,
        number=member.number,
        full_name=account.full_name,
        email=account.email,
        phone=account.phone,
        country=member.country,
        language=account.language,
        membership=MembershipOutput.model_validate(subscription),
        created_at=member.created_at,
        version=member.version,
    )


@app.post("/members", status_code=HTTPStatus.CREATED)
def register_member(
    new: MemberInput, response: Response, session: CurrentSession, request_id: RequestId
) -> MemberOutput:
    """Register a member."""
    member_id, today = uuid4(), date.today()  # noqa: DTZ011 - the local day, which is the machine's here
    plan = session.get_one(PlanRow, new.plan)
    person = new.model_dump(include={"email", "full_name", "phone", "language", "terms_version"})
    account = AccountRow(id=member_id, role="member", **person)
    member = MemberRow(id=member_id, country=new.country, registered_on=today)
    subscription = SubscriptionRow(
        id=uuid4(),
        member_id=member_id,
        plan=plan.plan,
        state="active",
        starts_on=today,
        ends_on=func.year_end(today, today),
        anchor_on=today,
        period_starts_on=today,
        renewed_on=today,
        price=plan.price,
        currency=plan.currency,
    )
    mail = {"template": "member-welcome", "to": f"account:{member_id}", "facts": {}}
    sign_in = {"account_id": str(member_id), "group": "member"}
    jobs = [
        OutboxRow(id=uuid4(), kind=kind, priority="high", subject_id=member_id, payload=payload)
        for kind, payload in (("identity", sign_in), ("mail", mail))
    ]
    audit = AuditRow(
        id=uuid4(),
        action="member.registered",
        subject_id=member_id,
        actor="anonymous",
        request_id=request_id,
        facts={"plan": new.plan},
    )
    session.add_all([account, member, subscription])
    session.flush()  # a trigger reads these rows when the mail is written
    session.add_all([*jobs, audit])
    session.flush()
    answer = build_member(member, account, subscription)
    session.commit()
    response.headers["Location"] = f"/members/{member_id}"
    return answer


@app.get("/members/me")
def read_member(session: CurrentSession, sub: Sub) -> MemberOutput:
    """Read the caller's own record."""
    found = session.scalars(
        select(MemberRow).join(AccountRow, AccountRow.id == MemberRow.id).where(AccountRow.identity_sub == sub)
    ).one_or_none()
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return build_member(found, found.account, found.subscription)


@app.post("/claims", status_code=HTTPStatus.CREATED)
def submit_claim(
    new: ClaimInput, response: Response, session: CurrentSession, sub: Sub, request_id: RequestId
) -> ClaimOutput:
    """Submit a claim."""
    member_id = session.scalar(
        select(MemberRow.id).join(AccountRow, AccountRow.id == MemberRow.id).where(AccountRow.identity_sub == sub)
    )
    if member_id is None:
        raise HTTPException(HTTPStatus.FORBIDDEN)
    claim = ClaimRow(
        id=uuid4(),
        member_id=member_id,
        submitted_on=date.today(),  # noqa: DTZ011
        **new.model_dump(exclude={"amount"}),
        amount=Decimal(new.amount),
    )
    history = HistoryRow(claim_id=claim.id, version=1, to_state="submitted", actor_role="member", actor_id=member_id)
    mails = {"claim-received": f"account:{member_id}", "staff-new-claim": "desk"}
    jobs = [
        OutboxRow(
            id=uuid4(),
            kind="mail",
            priority="normal",
            subject_id=claim.id,
            payload={"template": template, "to": to, "facts": {}},
        )
        for template, to in mails.items()
    ]
    audit = AuditRow(
        id=uuid4(),
        action="claim.submitted",
        subject_id=claim.id,
        actor=sub,
        request_id=request_id,
        facts={"category": new.category},
    )
    session.add_all([claim, history])
    session.flush()
    session.add_all([*jobs, audit])
    session.flush()
    answer = ClaimOutput.model_validate(claim)
    session.commit()
    response.headers["Location"] = f"/claims/{claim.id}"
    return answer


@app.get("/health")
def check_process() -> dict[str, str]:
    """Answer that the process lives."""
    return {"status": "healthy", "version": "bench", "time": datetime.now().astimezone().isoformat()}


serve = Mangum(app, lifespan="off")


@idempotent(persistence_store=persistence, config=config)
def answer_once(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a write; a repeat gets the first answer."""
    answer: dict[str, Any] = serve(event, context)
    return answer


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve as Lambda's entry point."""
    answer: dict[str, Any] = (answer_once if event["httpMethod"] == "POST" else serve)(event, context)
    return answer
