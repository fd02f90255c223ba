"""The API's description (OpenAPI 3.1), built from the operations."""

import inspect
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.admission.ports import KEY_LIFE_S
from shared.api.operation import IgnoredQuery, NoInput, Operation
from shared.api.parsing import KEY_PATTERN
from shared.api.problems import ABOUT_KEYS, CATALOGUE, MEDIA_TYPE, URN, Problem

REF = "#/components/schemas/{model}"

# The refusals of every operation with a certain feature, besides those that it declares itself.
_OF_ALL = ("internal", "unavailable")
_OF_BODIES = ("malformed-request", "payload-too-large", "unsupported-media-type", "invalid-request")
_OF_KEYS = ("idempotency-key-malformed", "request-in-progress", "idempotency-key-reused")

_KEY = (
    "A new random value for each new request, the same one when you repeat it: 1 to 255 visible ASCII characters, as a"
    ' string in quotes or bare ("k" and k are one key).'
    f" It expires {KEY_LIFE_S / 3600:.0f} hours after its first answer."
)

# The phrases of RFC 9110, which Python's http module has only since 3.13.
_RENAMED = {HTTPStatus(413): "Content Too Large", HTTPStatus(422): "Unprocessable Content"}

_HEADERS: Mapping[str, Any] = {
    "X-Request-Id": {"description": "The request's id, for questions about it.", "schema": {"type": "string"}},
    "ETag": {"description": "The version; send it as If-Match.", "schema": {"type": "string", "pattern": '^"[0-9]+"$'}},
    "Location": {"description": "The path of the new record.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "Link": {"description": "A page that explains the problem.", "schema": {"type": "string"}},
    "Allow": {"description": "The methods of this path.", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "true on a repeated answer.",
        "schema": {"type": "string", "const": "true"},
    },
}


def describe(operations: Iterable[Operation], *, version: str) -> dict[str, Any]:
    """Return the description of all operations together, as a JSON object."""
    listed = sorted(operations, key=lambda o: (o.resource, o.method))
    refs, components = _build_schemas(listed)
    paths: dict[str, Any] = {}
    for operation in listed:
        paths.setdefault(operation.resource, {})[operation.method.lower()] = _describe_operation(operation, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Interdomestik API",
            "version": version,
            "description": (
                "Agents bring in members, members file claims, staff see them through.\n\n"
                f"How requests are repeated safely: [Idempotency keys](docs{ABOUT_KEYS.removeprefix('/docs')})."
            ),
        },
        "servers": [{"url": "/api"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": dict(_HEADERS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _build_schemas(operations: list[Operation]) -> tuple[Mapping[type[BaseModel], Any], dict[str, Any]]:
    inputs = {o.input for o in operations if o.is_write and o.input is not NoInput}
    views = {o.answer for o in operations if o.answer is not None} | {Problem}
    asked: list[Any] = [(model, "validation") for model in sorted(inputs, key=_get_model_name)]
    asked += [(model, "serialization") for model in sorted(views, key=_get_model_name)]
    found, top = models_json_schema(asked, ref_template=REF)
    refs: dict[Any, Any] = {model: schema for (model, _), schema in found.items()}
    return refs, dict(top.get("$defs", {}))


def _get_model_name(model: type[BaseModel]) -> str:
    return model.__name__


def _describe_operation(operation: Operation, refs: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _make_operation_id(operation),
        "tags": [operation.resource.split("/")[1]],
        "summary": operation.summary,
        "description": _build_description(operation),
        "parameters": [
            *_list_path_parameters(operation),
            *_list_query_parameters(operation),
            *_list_header_parameters(operation),
        ],
        "responses": {
            str(operation.status): _describe_success(operation, refs),
            **_describe_problems(operation),
            **{str(status): _describe_success(operation, refs) for status in operation.also_status},
        },
        "security": {"required": [{"token": []}], "optional": [{}, {"token": []}], "none": []}[operation.sign_in],
    }
    if operation.is_write:
        described["requestBody"] = _describe_body(operation, refs)
    return described


def _make_operation_id(operation: Operation) -> str:
    words = [part.strip("{}") for part in operation.resource.split("/") if part]
    return "_".join([operation.method.lower(), *words]).replace(".", "_")


def _build_description(operation: Operation) -> str:
    who = "Anyone." if operation.access is None else f"Who: {', '.join(sorted(operation.access))}."
    # Python before 3.13 keeps the indent of a docstring's later lines.
    return f"{inspect.cleandoc(operation.run.__doc__ or '')}\n\n{who}"


def _list_path_parameters(operation: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in operation.resource.split("/") if part.startswith("{")]
    schema = {"type": "string", "format": "uuid"}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _list_query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.is_write:
        return []
    properties = operation.input.model_json_schema().get("properties", {})
    return [
        {"name": name, "in": "query", "required": False, "schema": _remove_null(schema)}
        for name, schema in properties.items()
    ]


def _remove_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without null: a parameter is given or omitted."""
    plain = {key: value for key, value in schema.items() if key not in ("anyOf", "title")}
    for choice in schema.get("anyOf", ()):
        plain |= {} if choice == {"type": "null"} else choice
    return {key: value for key, value in plain.items() if not (key == "default" and value is None)}


def _list_header_parameters(operation: Operation) -> list[dict[str, Any]]:
    headers = []
    if operation.is_write:
        headers.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": operation.key == "required",
                "description": _KEY,
                "schema": {"type": "string", "pattern": KEY_PATTERN},
            }
        )
    if operation.if_match:
        headers.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": True,
                "description": (
                    "The ETag of the version that was decided on, or a list of such tags, of which one must match;"
                    " * matches whatever version there is. Weak tags (W/…) never match."
                ),
                "schema": {"type": "string", "pattern": '^"[1-9][0-9]{0,8}"$'},
            }
        )
    return headers


def _describe_body(operation: Operation, refs: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    if operation.input is NoInput:
        empty = {"type": "object", "additionalProperties": False, "maxProperties": 0}
        return {"required": False, "content": {"application/json": {"schema": empty}}}
    return {"required": True, "content": {"application/json": {"schema": refs[operation.input]}}}


def _describe_success(operation: Operation, refs: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    schema = refs[operation.answer] if operation.answer is not None else {}
    content = {operation.media_type: {"schema": schema} if schema else {}}
    names = ["X-Request-Id", *(["Idempotency-Replayed"] if operation.is_write else [])]
    described = {"description": operation.summary, "headers": _build_header_references(*names)}
    return described if operation.status == HTTPStatus.NO_CONTENT else {**described, "content": content}


def _build_header_references(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _describe_problems(operation: Operation) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for name in _list_refusals(operation):
        by_status.setdefault(CATALOGUE[name].status, []).append(name)
    return {str(status): _describe_problem(status, by_status[status]) for status in sorted(by_status)}


def _describe_problem(status: int, names: list[str]) -> dict[str, Any]:
    listed = "\n".join(f"- `{URN}{name}`: {CATALOGUE[name].title}" for name in names)
    waits = ["Retry-After"] if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE) else []
    return {
        "description": f"{_RENAMED.get(HTTPStatus(status), HTTPStatus(status).phrase)}\n\n{listed}",
        "headers": _build_header_references("X-Request-Id", "Link", *waits),
        "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}},
    }


def _list_refusals(operation: Operation) -> list[str]:
    """Return every problem that the operation may answer with, each once."""
    found = [*operation.refusals, *_OF_ALL]
    if operation.is_write:
        found += [*_OF_BODIES, *_OF_KEYS]
    elif operation.input is not IgnoredQuery:
        found.append("invalid-request")
    if operation.key == "required":
        found.append("idempotency-key-required")
    if operation.if_match:
        found += ["if-match-required", "stale-version"]
    if operation.limit is not None or operation.is_write or operation.input is not NoInput:
        found.append("too-many-requests")  # of the operation's limit, or of the limit for calls that can't be read
    if operation.sign_in != "none":
        found += ["unauthenticated", "forbidden"]
    if "{" in operation.resource:
        found.append("not-found")
    return list(dict.fromkeys(found))
