"""The answer that each event has to get: of a request status, schema and main fields, of a trigger fields."""

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from tests.services import ROOT

EVENTS = ROOT / "events"
TABLE = Path(__file__).with_name("answers.toml")
DESCRIPTION: dict[str, Any] = json.loads((ROOT / "functions/pages/pages/openapi.json").read_text(encoding="utf-8"))
FUNCTIONS = {
    "agents": "AgentsFunction",
    "claims": "ClaimsFunction",
    "health": "HealthFunction",
    "housekeeping": "HousekeepingFunction",
    "jobs_api": "JobsFunction",
    "members": "MembersFunction",
    "operations": "AdminFunction",
    "pages": "PagesFunction",
    "relay": "RelayFunction",
    "worker": "WorkerFunction",
}
JOBS = (
    "00000000-0000-7000-8000-000000000063",
    "00000000-0000-7000-8000-000000000067",
)  # of the messages, first and last
TYPES = {"int": int, "str": str, "list": list, "dict": dict}


def list_names() -> list[str]:
    """Return every event, as `claims/get_claims`."""
    return sorted(path.relative_to(EVENTS).with_suffix("").as_posix() for path in EVENTS.rglob("*.json"))


def find_function(name: str) -> str:
    """Return the logical id of an event's function."""
    return FUNCTIONS[name.partition("/")[0]]


def load_event(name: str) -> dict[str, Any]:
    """Return an event."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return event


@cache
def load_table() -> dict[str, dict[str, Any]]:
    """Return the expected answers by event."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def find_faults(name: str, answer: Any) -> list[str]:
    """Return what is wrong with the answer to an event: its JSON, or what an invocation that failed gives."""
    if isinstance(answer, dict) and "errorMessage" in answer:
        return [f"the function failed: {answer['errorMessage']}"]
    expected, event = load_table()[name], load_event(name)
    if "httpMethod" not in event:
        return list(compare(expected, answer))
    if answer["statusCode"] != expected["status"]:
        return [f"status {answer['statusCode']} instead of {expected['status']}: {answer['body']}"]
    has_json = "json" in answer["headers"].get("Content-Type", "") and answer["body"]
    body = json.loads(answer["body"]) if has_json else None
    return [
        *(compare(expected["body"], body) if "body" in expected else ()),
        *compare(expected.get("headers", {}), answer["headers"]),
        *check_schema(event, answer["statusCode"], body),
    ]


def compare(expected: Any, found: Any, place: str = "") -> Iterator[str]:
    """Yield where something found differs: a text `<int>` asks for a type, a mapping for its keys at least."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            yield from find_missing(value, found) if key == "ids" else compare(value, found.get(key), f"{place}/{key}")
    elif isinstance(expected, str) and (wanted := re.fullmatch(r"<(\w+)>", expected)):
        if not isinstance(found, TYPES[wanted[1]]):
            yield f"{place} is {found!r}, not of type {wanted[1]}"
    elif expected != found:
        yield f"{place} is {found!r} instead of {expected!r}"


def find_missing(ids: list[str], page: dict[str, Any]) -> Iterator[str]:
    """Yield the records that a page of a list should have and hasn't."""
    listed = {item["id"] for item in page["items"]}
    yield from (f"the list has no {record}" for record in ids if record not in listed)


def find_response(operation: dict[str, Any], status: int) -> dict[str, Any]:
    """Return what the API's description says of an operation's answer with a status."""
    response: dict[str, Any] = operation["responses"][str(status)]
    shared: dict[str, Any] = DESCRIPTION["components"]["responses"]
    return shared[response["$ref"].rpartition("/")[2]] if "$ref" in response else response


def check_schema(event: dict[str, Any], status: int, body: Any) -> Iterator[str]:
    """Yield where the body is not what the API's description says of this operation and status."""
    operation = DESCRIPTION["paths"].get(event["resource"], {}).get(event["httpMethod"].lower())
    content = find_response(operation, status).get("content", {}) if operation else {}
    for schema in (part["schema"] for kind, part in content.items() if "json" in kind):
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": DESCRIPTION["components"]})
        yield from (
            f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(body)
        )
