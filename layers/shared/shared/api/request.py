"""A request as API Gateway's REST proxy event tells it."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.api.auth.caller import Caller, Verifier, caller_of
from shared.api.body import well_formed
from shared.deadline import Deadline
from shared.errors import FieldError, Refusal
from shared.ids import parse_id, uuid7

# The stage of the template, where an event does not say.
DEFAULT_STAGE = "api"

# Ids of API Gateway are UUIDs and base64: nothing else of it may reach the logs.
_SAFE_ID = r"[A-Za-z0-9_=+/-]{1,128}"


@dataclass(frozen=True, slots=True)
class Request:
    """A client's request, with its source address and the time left to answer."""

    method: str
    resource: str
    base_path: str  # what stands before the resource in the path that was asked: /api, or a domain's own
    path: Mapping[str, str]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes | None  # None where the event's base64 is broken
    source_ip: str
    request_id: str  # made here: what the gateway calls one, a client may have chosen
    gateway_id: str | None  # the gateway's own, for its logs
    claims: Mapping[str, Any] | None
    deadline: Deadline

    @classmethod
    def from_event(cls, event: Mapping[str, Any], deadline: Deadline) -> "Request":
        """Return the request of a proxy event: header names and ids in lower case, whatever is null left out."""
        context = _mapping(event, "requestContext")
        return cls(
            method=event["httpMethod"],
            resource=event["resource"],
            base_path=_base_path(context, event["resource"]),
            path={name: _canonical_id(value) for name, value in _texts(event, "pathParameters").items()},
            query=_query(event),
            headers=_headers(event),
            body=_body(event),
            source_ip=str(_mapping(context, "identity").get("sourceIp") or ""),
            request_id=str(uuid7()),
            gateway_id=_safe_id(context.get("extendedRequestId")),
            claims=_claims(context),
            deadline=deadline,
        )

    def caller(self, verify: Verifier, client_id: str) -> Caller:
        """Return who calls. Raises Refusal("unauthenticated"), Unavailable.

        A HEAD comes by the gateway's route for other methods, where it verifies no token: so that is done here.
        """
        if self.claims is not None:
            return caller_of(self.claims, client_id)
        caller = self.optional_caller(verify, client_id)
        if caller is None:
            raise Refusal("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
        return caller

    def optional_caller(self, verify: Verifier, client_id: str) -> Caller | None:
        """Return who calls where a token is optional: the gateway lets such calls through, so it is verified here."""
        if "authorization" not in self.headers:
            return None
        scheme, _, token = self.headers["authorization"].partition(" ")
        if scheme.lower() != "bearer" or not token or not token.isascii():
            raise Refusal("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
        return caller_of(verify(token.strip()), client_id)

    def ids(self) -> dict[str, UUID]:
        """The path's ids. Raises Refusal("not-found") for one that is none: there can be no such record."""
        try:
            return {name: parse_id(value) for name, value in self.path.items()}
        except ValueError:
            raise Refusal("not-found") from None

    def single_query(self) -> dict[str, str]:
        """The query's parameters. Raises Refusal("invalid-request") for one given more than once."""
        for name, values in self.query.items():
            if len(values) != 1:
                raise Refusal("invalid-request", errors=(FieldError(well_formed(name), "is given more than once"),))
        return {name: values[0] for name, values in self.query.items()}


def _base_path(context: Mapping[str, Any], resource: str) -> str:
    # Slashes that stand together are one: two at the beginning would name another host.
    path = re.sub("/+", "/", str(context.get("path") or "")).rstrip("/").split("/")
    below = len(resource.split("/")) - 1
    if "+}" in resource or len(path) <= below:
        return "/" + str(context.get("stage") or DEFAULT_STAGE)
    return "/".join(path[: len(path) - below])


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers by name in lower case; one that was sent several times is a list (RFC 9110, 5.3)."""
    several = _mapping(event, "multiValueHeaders")
    joined: dict[str, list[str]] = {}
    for name, values in (several or {n: [value] for n, value in _texts(event, "headers").items()}).items():
        joined.setdefault(name.lower(), []).extend(value for value in values or () if isinstance(value, str))
    return {name: ", ".join(values) for name, values in joined.items()}


def _safe_id(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(_SAFE_ID, value) else None


def is_request(event: Any) -> bool:
    """Return whether an event is a REST API's proxy event, and not a schedule's, a warmer's or another front's."""
    return isinstance(event, Mapping) and all(isinstance(event.get(name), str) for name in ("httpMethod", "resource"))


def describe_event(event: Any) -> dict[str, Any]:
    """Return what may be logged of an event that is no request: its type and those of its keys that AWS gives."""
    known = ("source", "detail-type", "Records", "version", "routeKey", "httpMethod", "resource", "requestContext")
    return {"type": type(event).__name__, "keys": [k for k in known if isinstance(event, Mapping) and k in event]}


def _mapping(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {}


def _claims(context: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the token's claims as the gateway verified them, None where it verified no token."""
    authorizer = _mapping(context, "authorizer")
    return _mapping(authorizer, "claims") if authorizer.get("claims") is not None else None


def _texts(event: Mapping[str, Any], name: str) -> dict[str, str]:
    return {key: value for key, value in _mapping(event, name).items() if isinstance(value, str)}


def _query(event: Mapping[str, Any]) -> dict[str, list[str]]:
    several = _mapping(event, "multiValueQueryStringParameters")
    if several:
        return {
            name: [value if isinstance(value, str) else "" for value in values or ("",)]
            for name, values in several.items()
        }
    return {name: [value] for name, value in _texts(event, "queryStringParameters").items()}


def _canonical_id(value: str) -> str:
    """The value, in lower case where it is an id: an id is one and the same however it is written."""
    try:
        return str(parse_id(value))
    except ValueError:
        return value


def _body(event: Mapping[str, Any]) -> bytes | None:
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            return base64.b64decode(str(body), validate=True)
        except ValueError:
            return None
    return str(body).encode("utf-8", "surrogatepass")
