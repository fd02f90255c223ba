"""The answers to requests that can't be served: problem details (RFC 9457), named as the service names them.

What nobody foresaw is FastAPI's own 500: also a connection that the database has ended.
"""

from collections.abc import Mapping
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import DatabaseError
from psycopg.errors import UniqueViolation
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from stress.before.mailer import MailNotSent
from stress.before.tokens import TokenRejected

URN = "urn:interdomestik:problem:"
STATUSES = {
    "unauthenticated": 401,
    "membership-required": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "email-taken": 409,
    "invalid-request": 422,
    "referral-code-unknown": 422,
    "unavailable": 503,
}
REQUIREMENT_FAILED = "IR001"  # the SQLSTATE of the schema's own checks; the message is the problem's name


class RequestRefused(Exception):
    """The request is refused; `name` is one of STATUSES."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def build_problem(
    name: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **more: object
) -> JSONResponse:
    """Return the answer that names a problem."""
    status = STATUSES[name]
    title = name.replace("-", " ").capitalize()
    body = {"type": URN + name, "title": title, "status": status, "detail": detail or title, "instance": str(uuid4())}
    return JSONResponse({**body, **more}, status, headers=headers, media_type="application/problem+json")


def add_handlers(app: FastAPI) -> None:
    """Have the application answer the errors that are foreseen."""
    app.add_exception_handler(RequestRefused, _answer_refusal)
    app.add_exception_handler(TokenRejected, _answer_refusal)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(HTTPException, _answer_routing_error)
    app.add_exception_handler(DatabaseError, _answer_database_error)
    app.add_exception_handler(MailNotSent, _answer_unavailable)
    app.add_exception_handler(PoolTimeout, _answer_unavailable)


async def _answer_refusal(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RequestRefused):
        return build_problem(error.name)
    return build_problem("unauthenticated", headers={"WWW-Authenticate": "Bearer"})


async def _answer_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [{"pointer": "/" + "/".join(map(str, each["loc"][1:])), "detail": each["msg"]} for each in found]
    return build_problem("invalid-request", errors=errors)


async def _answer_routing_error(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, HTTPException) and error.status_code == STATUSES["method-not-allowed"]:
        return build_problem("method-not-allowed", headers=error.headers)
    return build_problem("not-found")


async def _answer_database_error(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, UniqueViolation) and error.diag.constraint_name == "accounts_email_key":
        return build_problem("email-taken")
    if isinstance(error, DatabaseError) and error.sqlstate == REQUIREMENT_FAILED:
        return build_problem(str(error.diag.message_primary))
    raise error


async def _answer_unavailable(_request: Request, _error: Exception) -> JSONResponse:
    return build_problem("unavailable", headers={"Retry-After": "1"})
