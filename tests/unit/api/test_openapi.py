"""The API's description: complete, the same text whatever Python made it, and fit to generate clients from."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from local.front.people import ROLES
from tools.openapi.__main__ import PUBLISHED, TARGET, VERSION, list_gaps, render_description

JSON = dict[str, Any]
DESCRIPTION: JSON = json.loads(render_description())
OPERATIONS: dict[str, JSON] = {o["operationId"]: o for path in DESCRIPTION["paths"].values() for o in path.values()}


def find_all(key: str, part: Any) -> Iterator[Any]:
    """Yield the value of each such key, wherever it is."""
    if isinstance(part, dict):
        yield from ([part[key]] if key in part else [])
        for value in part.values():
            yield from find_all(key, value)
    elif isinstance(part, list):
        for each in part:
            yield from find_all(key, each)


def follow(part: JSON) -> JSON:
    """Return a part of the description, or what it refers to."""
    while "$ref" in part:
        found: Any = DESCRIPTION
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def list_headers(operation_id: str, status: int) -> set[str]:
    """Return the names of the headers of an answer."""
    return set(follow(OPERATIONS[operation_id]["responses"][str(status)])["headers"])


@pytest.mark.parametrize("path", [TARGET, PUBLISHED], ids=["served", "published"])
def test_the_description_kept_is_the_one_that_the_operations_say(path: Any) -> None:
    # The lane of the oldest Python runs this too: a description kept by one version must be what every version makes.
    assert render_description() == path.read_text(encoding="utf-8")


def test_no_name_description_or_example_is_missing() -> None:
    assert list_gaps(DESCRIPTION) == []


def test_no_description_carries_the_indent_of_the_code() -> None:
    indented = [line for o in OPERATIONS.values() for line in o["description"].splitlines() if line.startswith(" ")]
    assert len(OPERATIONS) > 30
    assert indented == []


def test_operations_are_named_as_people_name_them() -> None:
    assert {"claims.create", "claims.transition", "members.renew", "documents.download", "jobs.replay"} <= set(
        OPERATIONS
    )
    assert len(OPERATIONS) == sum(len(path) for path in DESCRIPTION["paths"].values())


def test_an_enum_has_a_name_and_stands_once() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    named = {name: tuple(schema["enum"]) for name, schema in schemas.items() if "enum" in schema}
    everywhere = [tuple(values) for values in find_all("enum", DESCRIPTION)]
    assert sorted(everywhere) == sorted(named.values())
    assert len(set(named.values())) == len(named)
    assert named["Plan"] == ("basic", "standard", "family", "business")


def test_no_field_has_null_as_its_default() -> None:
    """It would have generated clients send null where a field is omitted, and null is refused."""
    assert [value for value in find_all("default", DESCRIPTION["components"]["schemas"]) if value is None] == []
    assert "EUR" in set(find_all("default", DESCRIPTION["components"]["schemas"]))


@pytest.mark.parametrize(
    ("operation", "status", "headers"),
    [
        ("claims.create", 201, {"ETag", "Location", "RateLimit", "RateLimit-Policy", "Idempotency-Replayed"}),
        ("claims.get", 200, {"ETag", "RateLimit", "RateLimit-Policy"}),
        ("claims.list", 200, {"RateLimit", "RateLimit-Policy"}),
        ("claims.transition", 200, {"ETag", "RateLimit", "RateLimit-Policy", "Idempotency-Replayed"}),
        ("documents.create", 201, {"RateLimit", "RateLimit-Policy", "Idempotency-Replayed"}),
        ("documents.delete", 204, {"RateLimit", "RateLimit-Policy", "Idempotency-Replayed"}),
        ("health.check", 200, set()),
        ("claims.create", 401, {"WWW-Authenticate"}),
        ("claims.create", 405, {"Allow"}),
        ("claims.create", 409, {"Retry-After"}),
        ("claims.create", 429, {"Retry-After", "RateLimit", "RateLimit-Policy"}),
        ("claims.create", 503, {"Retry-After"}),
    ],
)
def test_each_answer_names_its_headers(operation: str, status: int, headers: set[str]) -> None:
    always = {"X-Request-Id", "Link"} if status >= 400 else {"X-Request-Id"}
    assert list_headers(operation, status) == {*always, *headers}


def test_a_change_asks_for_the_version_it_was_decided_on_and_a_key() -> None:
    taken = {name: {follow(p)["name"] for p in o["parameters"]} for name, o in OPERATIONS.items()}
    assert {name for name, parameters in taken.items() if "If-Match" in parameters} == {
        *("agents.update", "members.update", "members.update_own", "claims.transition", "claims.assign")
    }
    writes = {o["operationId"] for path in DESCRIPTION["paths"].values() for m, o in path.items() if m != "get"}
    assert {name for name, parameters in taken.items() if "Idempotency-Key" in parameters} == writes


def test_the_description_says_where_a_token_comes_from() -> None:
    """Here with the words for all that the local cloud signs in, and on AWS."""
    [scheme] = DESCRIPTION["components"]["securitySchemes"].values()
    [roles] = re.findall(r"`make -s token ROLE=([a-z|]+)`", scheme["description"])
    assert roles.split("|") == list(ROLES)
    assert "make -s token EMAIL=" in scheme["description"]
    assert "front page" in scheme["description"]
    assert "aws cognito-idp initiate-auth" in scheme["description"]


def test_the_tag_of_the_jobs_says_which_of_them_are_listed() -> None:
    """Its text says, as the operation does, that they are the jobs that are not done, and not only failed ones."""
    [tag] = [tag for tag in DESCRIPTION["tags"] if tag["name"] == "jobs"]
    assert OPERATIONS["jobs.list"]["summary"] == "List jobs that are not done"
    assert "those that are not done" in tag["description"]


def test_a_version_has_three_numbers() -> None:
    assert DESCRIPTION["info"]["version"] == VERSION
    assert [number.isdigit() for number in VERSION.split(".")] == [True] * 3
