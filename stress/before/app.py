"""The predecessor's API: register a member, apply as an agent, file a claim, read the own record and claims.

Its handlers are plain functions, which FastAPI runs in its pool of 40 threads: boto3 can't be awaited (decision 59).
A mail is sent after the commit, without a connection of the pool, and before the answer.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from stress.before.mailer import RequestMailer
from stress.before.model import (
    AgentRecord,
    ApplicationBody,
    ClaimBody,
    ClaimPage,
    ClaimRecord,
    MemberRecord,
    RegistrationBody,
)
from stress.before.problems import add_handlers
from stress.before.records import RecordStore, make_pool
from stress.before.tokens import TokenChecker, TokenRejected, fetch_keys

DESK = "desk@before.test"  # not the service's own, whose notices are counted


@dataclass(frozen=True)
class BeforeSettings:
    """The addresses of what the process uses: a database, SES, and the user pool that signs the tokens."""

    database: str
    mail_endpoint: str
    sender: str
    jwks_url: str
    issuer: str
    client_id: str


@dataclass(frozen=True)
class BeforeServices:
    """The services that the handlers use."""

    records: RecordStore
    mailer: RequestMailer
    tokens: TokenChecker


async def get_services(request: Request) -> BeforeServices:
    """Return the services of the application."""
    services: BeforeServices = request.app.state.services
    return services


Services = Annotated[BeforeServices, Depends(get_services)]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


async def read_caller(services: Services, bearer: Bearer) -> str:
    """Return whom the request's token is for. Raise TokenRejected."""
    if bearer is None:
        raise TokenRejected("no token")
    return services.tokens.read_subject(bearer.credentials)


Caller = Annotated[str, Depends(read_caller)]
router = APIRouter(prefix="/api")


def _name_record(response: Response, path: str, record: dict[str, Any]) -> None:
    response.headers.update({"Location": f"/api{path}/{record['id']}", "ETag": f'"{record["version"]}"'})


@router.post("/agents", status_code=201, response_model=AgentRecord)
def apply_as_agent(body: ApplicationBody, services: Services, response: Response) -> Any:
    """Write an application, and confirm it by mail."""
    agent = services.records.add_agent(body)
    services.mailer.send(
        body.email, "We have received your application", f"Your personal referral code: {agent['referral_code']}"
    )
    _name_record(response, "/agents", agent)
    return agent


@router.post("/members", status_code=201, response_model=MemberRecord)
def register_member(body: RegistrationBody, services: Services, response: Response) -> Any:
    """Write a registration, and welcome the member by mail."""
    member = services.records.add_member(body)
    services.mailer.send(
        body.email, "Welcome to Interdomestik", f"Your member number: {member['number']}. Your plan: {body.plan}."
    )
    _name_record(response, "/members", member)
    return member


@router.get("/members/me", response_model=MemberRecord)
def read_own_member(caller: Caller, services: Services, response: Response) -> Any:
    """Return the caller's own record."""
    member = services.records.read_own_member(caller)
    response.headers["ETag"] = f'"{member["version"]}"'
    return member


@router.post("/claims", status_code=201, response_model=ClaimRecord)
def submit_claim(body: ClaimBody, caller: Caller, services: Services, response: Response) -> Any:
    """Write a claim, confirm it to the member and tell the claims desk of it."""
    claim, email = services.records.add_claim(body, caller)
    services.mailer.send(email, "We have received your claim", f"Its number: {claim['number']}. {body.title}")
    services.mailer.send(DESK, "A new claim", f"{claim['number']}: {body.title}")
    _name_record(response, "/claims", claim)
    return claim


@router.get("/claims", response_model=ClaimPage)
def list_own_claims(
    caller: Caller,
    services: Services,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(pattern="^[A-Za-z0-9_-]{22}$")] = None,
) -> Any:
    """Return a page of the caller's claims, newest first."""
    after = UUID(bytes=base64.urlsafe_b64decode(cursor + "==")) if cursor else None
    found = services.records.list_own_claims(caller, after, limit + 1)
    items = found[:limit]
    more = base64.urlsafe_b64encode(UUID(items[-1]["id"]).bytes).decode() if len(found) > limit else None
    return {"items": items, "next_cursor": more and more.rstrip("=")}


def build_app(settings: BeforeSettings) -> FastAPI:
    """Return the application; it opens its pool, and reads the user pool's keys, when it is started."""

    @asynccontextmanager
    async def open_services(app: FastAPI) -> AsyncIterator[None]:
        keys = await run_in_threadpool(fetch_keys, settings.jwks_url)
        tokens = TokenChecker(keys, issuer=settings.issuer, client_id=settings.client_id)
        with make_pool(settings.database) as pool:
            mailer = RequestMailer(settings.mail_endpoint, sender=settings.sender)
            app.state.services = BeforeServices(RecordStore(pool), mailer, tokens)
            yield

    app = FastAPI(title="The predecessor in miniature", lifespan=open_services)
    app.include_router(router)
    add_handlers(app)
    return app
