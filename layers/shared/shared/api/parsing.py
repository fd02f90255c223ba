"""Parsing without side effects: an API Gateway REST proxy event into a request, and a request into a call."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from shared.admission.ports import KeyOrigin, KeyUse
from shared.api.auth.caller import Caller
from shared.api.body import read_body
from shared.api.call import ApiRequest, Call, IfMatch
from shared.api.field_errors import list_parameter_errors, replace_surrogates
from shared.api.operation import IgnoredQuery, NoInput, Operation
from shared.api.preconditions import read_if_match
from shared.api.services import Services
from shared.deadline import Deadline
from shared.errors import FieldError, Refusal
from shared.fields.id_faults import describe_id_fault
from shared.fields.rules import describe_length
from shared.ids import make_uuid7, parse_id
from shared.tracing import begin_trace

S = TypeVar("S", bound=Services)

# The stage of the template, for events that name none.
DEFAULT_STAGE = "api"

# API Gateway's ids are UUIDs or base64; nothing else is logged.
_SAFE_ID = r"[A-Za-z0-9_=+/-]{1,128}"

NO_SUCH_ID = "There is no such record: the path names something that is not an id, as errors says."

MAX_KEY_LENGTH = 255

# RFC 9651: a String, then parameters, which have no meaning here.
_STRING = r'"((?:[ !#-\[\]-~]|\\["\\])*)"'
_BARE_ITEM = r'(?:"(?:[ !#-\[\]-~]|\\["\\])*"|[^\s";,]+)'
_KEY_FIELD = re.compile(rf"{_STRING}(?:; *[a-z*][a-z0-9_.*-]*(?:={_BARE_ITEM})?)*")

# Both forms of a key, for the API's description.
KEY_PATTERN = rf'^([!#-~][!-~]{{0,{MAX_KEY_LENGTH - 1}}}|"([!#-\[\]-~]|\\["\\]){{1,{MAX_KEY_LENGTH}}}")$'


class NotPermitted(Refusal):
    """The token of a known caller does not permit the operation; `ids` are those of the path."""

    def __init__(self, caller: Caller, ids: Mapping[str, UUID]) -> None:
        super().__init__("forbidden")
        self.caller = caller
        self.ids = ids


# ---- an event into a request -----------------------------------------------------------------------------------------
def is_request(event: Any) -> bool:
    """Return whether an event is a REST API's proxy event, not one of a schedule, a warmer or another gateway."""
    return isinstance(event, Mapping) and all(isinstance(event.get(name), str) for name in ("httpMethod", "resource"))


def describe_event(event: Any) -> dict[str, Any]:
    """Return what may be logged of an event that is no request: its type, and its keys as far as AWS defines them."""
    known = ("source", "detail-type", "Records", "version", "routeKey", "httpMethod", "resource", "requestContext")
    return {"type": type(event).__name__, "keys": [k for k in known if isinstance(event, Mapping) and k in event]}


def parse_request(event: Mapping[str, Any], deadline: Deadline) -> ApiRequest:
    """Return the request of a proxy event: header names and ids in lower case, null values left out."""
    context = _read_mapping(event, "requestContext")
    headers = _read_headers(event)
    return ApiRequest(
        method=event["httpMethod"],
        resource=event["resource"],
        base_path=_read_base_path(context, event["resource"]),
        path={name: _normalise_id(value) for name, value in _read_texts(event, "pathParameters").items()},
        query=_read_multi_query(event),
        headers=headers,
        body=_decode_body(event),
        source_ip=str(_read_mapping(context, "identity").get("sourceIp") or ""),
        trace=begin_trace(str(make_uuid7()), headers.get("traceparent")),
        gateway_id=_sanitise_id(context.get("extendedRequestId")),
        claims=_read_claims(context),
        deadline=deadline,
    )


def _read_mapping(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {}


def _read_texts(event: Mapping[str, Any], name: str) -> dict[str, str]:
    return {key: value for key, value in _read_mapping(event, name).items() if isinstance(value, str)}


def _read_base_path(context: Mapping[str, Any], resource: str) -> str:
    # Several slashes count as one: two at the beginning would name another host.
    path = re.sub("/+", "/", str(context.get("path") or "")).rstrip("/").split("/")
    below = len(resource.split("/")) - 1
    if "+}" in resource or len(path) <= below:
        return "/" + str(context.get("stage") or DEFAULT_STAGE)
    return "/".join(path[: len(path) - below])


def _normalise_id(value: str) -> str:
    """Return the value, in lower case if it is an id: an id may be spelt in either case."""
    try:
        return str(parse_id(value))
    except ValueError:
        return value


def _read_multi_query(event: Mapping[str, Any]) -> dict[str, list[str]]:
    several = _read_mapping(event, "multiValueQueryStringParameters")
    if several:
        return {
            name: [value if isinstance(value, str) else "" for value in values or ("",)]
            for name, values in several.items()
        }
    return {name: [value] for name, value in _read_texts(event, "queryStringParameters").items()}


def _read_headers(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers by lower-case name; a header sent several times is joined to a list (RFC 9110, 5.3)."""
    several = _read_mapping(event, "multiValueHeaders")
    joined: dict[str, list[str]] = {}
    for name, values in (several or {n: [value] for n, value in _read_texts(event, "headers").items()}).items():
        joined.setdefault(name.lower(), []).extend(value for value in values or () if isinstance(value, str))
    return {name: ", ".join(values) for name, values in joined.items()}


def _decode_body(event: Mapping[str, Any]) -> bytes | None:
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            return base64.b64decode(str(body), validate=True)
        except ValueError:
            return None
    return str(body).encode("utf-8", "surrogatepass")


def _read_claims(context: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the token's claims as verified by the gateway, None if it verified no token."""
    authorizer = _read_mapping(context, "authorizer")
    return _read_mapping(authorizer, "claims") if authorizer.get("claims") is not None else None


def _sanitise_id(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(_SAFE_ID, value) else None


# ---- a request into a call -------------------------------------------------------------------------------------------
def parse_call(
    operation: Operation, request: ApiRequest, caller: Caller | None, principal: str, services: S, *, now: datetime
) -> Call[Any, S]:
    """Return the call that a request makes; `services` are passed on unused.

    Errors are found in this order, and raised as a Refusal: an id of the path (not-found), a token that does not permit
    the operation (NotPermitted), the Idempotency-Key, the body or query, If-Match.
    """
    ids = parse_ids(request)
    if caller is not None and not operation.is_open_to(caller):
        raise NotPermitted(caller, ids)
    key = _find_key(operation, request)
    value, plain = _read_input(operation, request, now)
    if_match = _read_precondition(operation, request)
    # Request ids get a scope of their own, so that no key can equal one.
    scope = _build_key_scope(operation, caller)
    names = (scope, key) if key is not None else (f"request {scope}", request.request_id)
    name, ids_of_path = f"{operation.method} {operation.resource}", tuple(map(str, ids.values()))
    origin = KeyOrigin(name, request.request_id, ids_of_path, operation.status)
    use = KeyUse(*names, _hash_request(request, if_match, plain), origin)
    return Call(value, ids, caller, operation.access, principal, if_match, request, use, services)


def parse_ids(request: ApiRequest) -> dict[str, UUID]:
    """Return the path's ids. Raise Refusal("not-found") for those that are not ids: no such record can exist."""
    ids = {name: _read_id(value) for name, value in request.path.items()}
    wrong = tuple(
        FieldError(name, f"is not an id: {describe_id_fault(request.path[name])}")
        for name, found in ids.items()
        if found is None
    )
    if wrong:
        raise Refusal("not-found", detail=NO_SUCH_ID, errors=wrong)
    return {name: found for name, found in ids.items() if found is not None}


def _read_id(value: str) -> UUID | None:
    try:
        return parse_id(value)
    except ValueError:
        return None


def _find_key(operation: Operation, request: ApiRequest) -> str | None:
    if not operation.is_write:
        return None
    field = request.headers.get("idempotency-key")
    if field is not None:
        return read_key(field)
    if operation.key == "required":
        raise Refusal("idempotency-key-required")
    return None


def read_key(field: str) -> str:
    """Return the key of an Idempotency-Key field: `"k"`, `k` and `"k";v=1` are the same key.

    Raise Refusal("idempotency-key-malformed") unless it has 1 to 255 visible ASCII characters.
    """
    field = field.strip(" \t")
    key = _unquote(field) if field.startswith('"') else field
    fault = "begins with a quote, and is not one string in quotes" if key is None else _find_key_fault(key)
    if key is None or fault is not None:
        raise Refusal("idempotency-key-malformed", errors=(FieldError("Idempotency-Key", str(fault)),))
    return key


def _find_key_fault(key: str) -> str | None:
    if not all("!" <= c <= "~" for c in key):
        return "has a character that is not visible ASCII, such as a space"
    return describe_length(len(key), least=1, most=MAX_KEY_LENGTH)


def _unquote(field: str) -> str | None:
    found = _KEY_FIELD.fullmatch(field)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else None


def _read_input(operation: Operation, request: ApiRequest, now: datetime) -> tuple[BaseModel, dict[str, Any]]:
    """Return the input as a model, and its set fields as normalised JSON values. Raise Refusal if it is not valid."""
    if operation.is_write:
        _refuse_encoding(request)
    if request.body is None:
        raise Refusal("malformed-request", detail="The body is not the base64 that the event says it is.")
    if operation.is_write:
        content_type, optional = request.headers.get("content-type", ""), operation.input is NoInput
        read = read_body(operation.input, request.body, content_type, optional=optional, now=now)
        return read, read.model_dump(mode="json", exclude_unset=True)
    return _read_query(operation.input, request), {}


def _refuse_encoding(request: ApiRequest) -> None:
    # API Gateway decodes the encodings it knows and drops the field; others are not supported.
    if request.body and request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        detail = "Send the body without a Content-Encoding."
        raise Refusal("unsupported-media-type", detail=detail, headers={"Accept-Encoding": "identity"})


def _read_query(model: type[BaseModel], request: ApiRequest) -> BaseModel:
    if model is IgnoredQuery:
        return IgnoredQuery()
    try:
        return model.model_validate_strings(_read_single_query(request), strict=True)
    except ValidationError as error:
        errors = tuple(list_parameter_errors(error, model))
        raise Refusal("invalid-request", errors=errors) from None


def _read_single_query(request: ApiRequest) -> dict[str, str]:
    """Return the query's parameters. Raise Refusal("invalid-request") for one given more than once."""
    for name, values in request.query.items():
        if len(values) != 1:
            raise Refusal("invalid-request", errors=(FieldError(replace_surrogates(name), "is given more than once"),))
    return {name: values[0] for name, values in request.query.items()}


def _read_precondition(operation: Operation, request: ApiRequest) -> IfMatch | None:
    """Return the If-Match field, None if the operation has none.

    Raise Refusal: if-match-required, malformed-request.
    """
    if not operation.if_match:
        return None
    field = request.headers.get("if-match")
    if field is None:
        raise Refusal("if-match-required")
    return read_if_match(field)


def _build_key_scope(operation: Operation, caller: Caller | None) -> str:
    """Return the scope of a key: the account's calls of the operation; without an account, all calls of it.

    A phone that changes its network between two attempts has neither the same address nor an account to identify it.
    """
    principal = f"sub:{caller.sub}" if caller is not None else "anonymous"
    return f"{principal} {operation.method} {operation.resource}"


def _hash_request(request: ApiRequest, if_match: IfMatch | None, plain: Mapping[str, Any]) -> str:
    parts = [dict(request.path), if_match.canonical if if_match else None, plain]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
