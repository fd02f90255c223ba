"""The answers to calls that are refused or fail, in the API's description."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from shared.api.operation import IgnoredQuery, NoInput, Operation
from shared.api.problem_answers import describe_problem
from shared.api.problems import CATALOGUE, MEDIA_TYPE, URN, Problem
from shared.errors import FieldError, Refusal
from tools.openapi.headers import build_problem_headers
from tools.openapi.schemas import REF
from tools.openapi.story.ids import REQUEST

JSON = dict[str, Any]

# The refusals of every operation with a certain feature, besides those that it declares itself.
_OF_ALL = ("method-not-allowed", "internal", "unavailable")
_OF_BODIES = ("malformed-request", "payload-too-large", "unsupported-media-type", "invalid-request")
_OF_KEYS = ("idempotency-key-malformed", "request-in-progress", "idempotency-key-reused")

# The phrases of RFC 9110, which Python's http module has only since 3.13.
_RENAMED = {HTTPStatus(413): "Content Too Large", HTTPStatus(422): "Unprocessable Content"}

_FIELD_ERRORS = {"invalid-request": (FieldError("/amount", "is not an amount, like 250.00"),)}


def describe_problems(operation: Operation) -> JSON:
    """Return the answers to refused and failed calls of an operation, by status."""
    by_status: dict[int, list[str]] = {}
    for name in _list_refusals(operation):
        by_status.setdefault(CATALOGUE[name].status, []).append(name)
    return {str(status): _refer_to_answer(status, by_status[status]) for status in sorted(by_status)}


def build_answers(operations: Iterable[Operation]) -> JSON:
    """Return the answers that describe one problem only, by its name: most operations share them."""
    return {name: _describe_status(CATALOGUE[name].status, [name]) for name in _list_names(operations)}


def build_examples(operations: Iterable[Operation]) -> JSON:
    """Return an example of every problem that some of the operations may answer with, by its name."""
    return {name: {"summary": CATALOGUE[name].title, "value": _build_example(name)} for name in _list_names(operations)}


def _list_names(operations: Iterable[Operation]) -> list[str]:
    return sorted({name for operation in operations for name in _list_refusals(operation)})


def _refer_to_answer(status: int, names: list[str]) -> JSON:
    if len(names) == 1:
        return {"$ref": f"#/components/responses/{names[0]}"}
    return _describe_status(status, names)


def _build_example(name: str) -> JSON:
    refusal = Refusal(name, errors=_FIELD_ERRORS.get(name, ()))
    return dict(describe_problem(refusal, REQUEST).body)


def _describe_status(status: int, names: list[str]) -> JSON:
    listed = "\n".join(f"- `{URN}{name}`: {CATALOGUE[name].title}" for name in names)
    examples = {name: {"$ref": f"#/components/examples/{name}"} for name in names}
    return {
        "description": f"{_RENAMED.get(HTTPStatus(status), HTTPStatus(status).phrase)}\n\n{listed}",
        "headers": build_problem_headers(status, names),
        "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model=Problem.__name__)}, "examples": examples}},
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
