"""The API's description (OpenAPI 3.1), built from the operations and their examples."""

import inspect
import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from shared.api.auth.caller import STAFF
from shared.api.operation import NoInput, Operation
from shared.api.problems import ABOUT_KEYS
from tools.openapi.headers import HEADERS, PARAMETERS, build_success_headers, list_request_headers
from tools.openapi.problem_answers import build_answers, build_examples, describe_problems
from tools.openapi.schemas import SchemaRegistry, read_docstring
from tools.openapi.story.all_examples import EXAMPLES, PATH_IDS, TAGS
from tools.openapi.story.operation_example import OperationExample

JSON = dict[str, Any]

DESCRIPTION = f"""Agents bring in members, members file claims, staff see them through.

The examples tell one story: Arta becomes an agent, Besa registers with her code, Besa's flight is cancelled, and Drita
of the staff takes on her claim.

Times are in UTC (RFC 3339, like `2026-11-02T07:12:00Z`), days are those of the stack's country, money is a decimal
string, and ids are UUIDs. Unknown fields and wrong types are refused.

How requests are repeated safely: [Idempotency keys](docs{ABOUT_KEYS.removeprefix("/docs")})."""

HOW_TO_SIGN_IN = """An access token (JWT) of the stack's user pool, valid for one hour. ID tokens are refused.

**On the local cloud** (`make up`): a button of the front page at `/`, which fills the token into the docs page;
`make -s token ROLE=member|agent|staff|admin`; or, for somebody who has registered or whose application was approved,
`make -s token EMAIL=besa@example.test`.

**On AWS**: sign in to the user pool as the app does, with a code by mail or a password, and take the `AccessToken` of
the answer. `UserPoolClientId` is an output of the stack:

    aws cognito-idp initiate-auth --client-id <UserPoolClientId> --auth-flow USER_AUTH \\
      --auth-parameters USERNAME=besa@example.test,PREFERRED_CHALLENGE=EMAIL_OTP
    aws cognito-idp respond-to-auth-challenge --client-id <UserPoolClientId> --challenge-name EMAIL_OTP \\
      --session <Session> --challenge-responses USERNAME=besa@example.test,EMAIL_OTP_CODE=<the code of the mail>"""

# The bodies of answers that no model describes: by media type.
_RAW_SCHEMAS: Mapping[str, JSON] = {"application/json": {"type": "object"}, "text/html": {"type": "string"}}

_RAW_ANSWERS: Mapping[str, str] = {"application/json": "This description.", "text/html": "The page."}

# Keywords of a query's field that belong to the parameter, not to its values.
_SAID_OF_PARAMETERS = ("description", "deprecated")

_NO_BODY: JSON = {
    "required": False,
    "description": "Nothing, or an empty object.",
    "content": {
        "application/json": {
            "schema": {"type": "object", "additionalProperties": False, "maxProperties": 0},
            "example": {},
        }
    },
}

_NO_EXAMPLE = OperationExample()


def describe(
    operations: Iterable[Operation], *, version: str, examples: Mapping[str, OperationExample] = EXAMPLES
) -> JSON:
    """Return the description of all operations together, as a JSON object. Raise UnnamedEnum."""
    listed = sorted(operations, key=lambda o: (o.resource, o.method))
    schemas = SchemaRegistry(listed)
    paths: JSON = {}
    for operation in listed:
        example = examples.get(operation.operation_id, _NO_EXAMPLE)
        described = _describe_operation(operation, example, schemas)
        paths.setdefault(operation.resource, {})[operation.method.lower()] = described
    tags = {_find_tag(operation) for operation in listed}
    components = {
        "schemas": schemas.components,
        "parameters": PARAMETERS,
        "headers": HEADERS,
        "responses": build_answers(listed),
        "examples": build_examples(listed),
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": HOW_TO_SIGN_IN}
        },
    }
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "Interdomestik API",
            "version": version,
            "description": DESCRIPTION,
            "contact": {"name": "The maintainers of Interdomestik API"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/api", "description": "The stack that serves this description."}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if name in tags],
        "paths": paths,
        "components": components,
    }
    return _drop_unused(described)


def _drop_unused(description: JSON) -> JSON:
    """Return the description without answers, headers and parameters that no operation refers to."""
    for kind in ("responses", "headers", "parameters"):
        text, named = json.dumps(description), description["components"][kind]
        used = {name: part for name, part in named.items() if f'"#/components/{kind}/{name}"' in text}
        description["components"][kind] = used
    return description


def _describe_operation(operation: Operation, example: OperationExample, schemas: SchemaRegistry) -> JSON:
    problems, success = describe_problems(operation), _describe_success(operation, example, schemas)
    described: JSON = {
        "operationId": operation.operation_id,
        "tags": [_find_tag(operation)],
        "summary": operation.summary,
        "description": _build_description(operation),
        "parameters": [
            *_list_path_parameters(operation),
            *_list_query_parameters(operation, example, schemas),
            *list_request_headers(operation, example.answer),
        ],
        "responses": {
            str(operation.status): success,
            **problems,
            **{
                str(status): _describe_other(operation, example, schemas, status, problems.get(str(status), {}))
                for status in operation.also_status
            },
        },
        "security": {"required": [{"token": []}], "optional": [{}, {"token": []}], "none": []}[operation.sign_in],
    }
    if operation.is_write:
        described["requestBody"] = _describe_body(operation, example, schemas)
    return described


def _find_tag(operation: Operation) -> str:
    return operation.operation_id.partition(".")[0]


def _build_description(operation: Operation) -> str:
    who = _describe_access(operation)
    # Python before 3.13 keeps the indent of a docstring's later lines.
    return f"{inspect.cleandoc(operation.run.__doc__ or '')}\n\n{who}"


def _describe_access(operation: Operation) -> str:
    """Return who may call an operation. Members and agents reach their own records only, staff those of all."""
    if operation.access is None:
        return "Who: anyone."
    staff, others = operation.access & STAFF, operation.access - STAFF
    is_narrowed = "_id}" in operation.resource or (operation.method == "GET" and staff)
    roles = [*sorted(staff), *(f"{role} for their own" if is_narrowed else role for role in sorted(others))]
    with_token = "anyone without a token; with one, " if operation.sign_in == "optional" else ""
    return f"Who: {with_token}{', '.join(roles)}."


def _list_path_parameters(operation: Operation) -> list[JSON]:
    parameters = []
    for name in (part[1:-1] for part in operation.resource.split("/") if part.startswith("{")):
        text, example = PATH_IDS.get(name, (None, None))
        described = {"name": name, "in": "path", "required": True, "description": text}
        described |= {"schema": {"type": "string", "format": "uuid"}, "example": example}
        parameters.append({key: value for key, value in described.items() if value is not None})
    return parameters


def _list_query_parameters(operation: Operation, example: OperationExample, schemas: SchemaRegistry) -> list[JSON]:
    if operation.is_write:
        return []
    parameters = []
    for name, schema in schemas.list_query_fields(operation.input).items():
        said = {key: schema[key] for key in _SAID_OF_PARAMETERS if key in schema}
        described = {"name": name, "in": "query", "required": False, **said}
        described["schema"] = {key: value for key, value in schema.items() if key not in said}
        described |= {"example": example.query[name]} if name in example.query else {}
        parameters.append(described)
    return parameters


def _describe_body(operation: Operation, example: OperationExample, schemas: SchemaRegistry) -> JSON:
    if operation.input is NoInput:
        return _NO_BODY
    examples = {_make_name(title): {"summary": title, "value": body} for title, body in example.bodies.items()}
    content = {"schema": schemas.refer_to(operation.input), **({"examples": examples} if examples else {})}
    text = read_docstring(operation.input)
    return {"required": True, "description": text, "content": {"application/json": content}}


def _make_name(title: str) -> str:
    """Return a title as the name of an example, which may hold no blanks."""
    return "-".join("".join(c for c in word.lower() if c.isalnum()) for word in title.split())


def _describe_success(operation: Operation, example: OperationExample, schemas: SchemaRegistry) -> JSON:
    headers = build_success_headers(operation, example.answer)
    if operation.status == HTTPStatus.NO_CONTENT:
        return {"description": "Done; the answer has no body.", "headers": headers}
    content = {"schema": _find_answer_schema(operation, schemas)}
    content |= {} if example.answer is None else {"example": example.answer}
    return {
        "description": _describe_answer(operation),
        "headers": headers,
        "content": {operation.media_type: content},
    }


def _describe_answer(operation: Operation) -> str:
    """Return what the answer is: the first paragraph about its model."""
    if operation.answer is None:
        return _RAW_ANSWERS[operation.media_type]
    return read_docstring(operation.answer).partition("\n\n")[0]


def _find_answer_schema(operation: Operation, schemas: SchemaRegistry) -> JSON:
    return schemas.refer_to(operation.answer) if operation.answer else _RAW_SCHEMAS[operation.media_type]


def _describe_other(
    operation: Operation, example: OperationExample, schemas: SchemaRegistry, status: int, problem: JSON
) -> JSON:
    """Return the answer of a status that comes with the operation's own answer, or else with a problem."""
    own: JSON = {"schema": _find_answer_schema(operation, schemas)}
    own |= {"example": example.other_answers[status]} if status in example.other_answers else {}
    return {
        "description": f"{_describe_answer(operation)}\n\nOr, if there is none:\n\n{problem.get('description', '')}",
        "headers": {**build_success_headers(operation, None), **problem.get("headers", {})},
        "content": {operation.media_type: own, **problem.get("content", {})},
    }
