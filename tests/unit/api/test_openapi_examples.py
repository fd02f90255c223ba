"""The examples of the API's description: requests that would be taken, and answers as the service writes them."""

import importlib
import json
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field

from shared.api.call import Call
from shared.api.operation import NoInput, Operation
from shared.api.problems import Problem
from shared.api.responses import Answer
from shared.api.router import Api
from shared.fields import RequestModel
from tests.unit.api.test_openapi import DESCRIPTION, OPERATIONS, follow
from tools.openapi.__main__ import APPS
from tools.openapi.description import describe
from tools.openapi.story.all_examples import EXAMPLES, PATH_IDS

# When the story is told: what happened in it lies in the past.
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

DEPLOYED: dict[str, Operation] = {
    o.operation_id: o for app in APPS for o in importlib.import_module(app).api.operations.values()
}
BODIES = [(name, title) for name, example in EXAMPLES.items() for title in example.bodies]
ANSWERS = [
    (name, status)
    for name, operation in DEPLOYED.items()
    for status in (operation.status, *operation.also_status)
    if operation.answer is not None
]
QUERIES = [name for name, operation in DEPLOYED.items() if not operation.is_write]


def parse_answer(model: type[BaseModel], answer: Any) -> Any:
    """Return an answer as the service writes it."""
    return json.loads(model.model_validate_json(json.dumps(answer)).model_dump_json(by_alias=True))


@pytest.mark.parametrize(("name", "title"), BODIES)
def test_the_example_of_a_body_is_taken_as_it_is(name: str, title: str) -> None:
    """It is valid, and nothing in it is corrected."""
    body = EXAMPLES[name].bodies[title]
    taken = DEPLOYED[name].input.model_validate_json(json.dumps(body), context={"now": NOW})
    written = json.loads(taken.model_dump_json(exclude_unset=True))
    assert written == body


@pytest.mark.parametrize(("name", "status"), ANSWERS)
def test_the_example_of_an_answer_is_one_that_the_service_writes(name: str, status: int) -> None:
    """It has every field, in the format in which it is sent, and no other."""
    model, example = DEPLOYED[name].answer, EXAMPLES[name]
    answer = example.answer if status == DEPLOYED[name].status else example.other_answers[status]
    assert model is not None
    assert parse_answer(model, answer) == answer


@pytest.mark.parametrize("name", QUERIES)
def test_the_example_of_a_query_is_taken_and_has_every_parameter(name: str) -> None:
    query = EXAMPLES[name].query
    model = DEPLOYED[name].input
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in query.items()}
    model.model_validate_strings(texts, strict=True)
    assert set(query) == set(model.model_fields)


def test_the_examples_are_told_by_every_operation_that_takes_a_body() -> None:
    told = {name for name, _ in BODIES}
    assert told == {name for name, o in DEPLOYED.items() if o.is_write and o.input is not NoInput}


def list_media() -> list[tuple[str, Any]]:
    """Return each place of the description that has examples of a body, with its schema."""
    found = []
    for name, operation in OPERATIONS.items():
        parts = {"body": operation.get("requestBody", {}), **operation["responses"]}
        for part, described in parts.items():
            for kind, content in follow(described).get("content", {}).items():
                found.append((f"{name} {part} {kind}", content))
    return found


@pytest.mark.parametrize(("place", "content"), list_media(), ids=[place for place, _ in list_media()])
def test_an_example_satisfies_the_schema_beside_it(place: str, content: dict[str, Any]) -> None:
    """A program that reads the description alone judges so, too."""
    values = [content["example"]] if "example" in content else []
    values += [follow(each)["value"] for each in content.get("examples", {}).values()]
    schema = {**content["schema"], "components": DESCRIPTION["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    assert values, place
    assert [error.message for value in values for error in validator.iter_errors(value)] == []


def test_parameters_and_headers_satisfy_their_schemas() -> None:
    parts = [follow(p) for o in OPERATIONS.values() for p in o["parameters"]]
    answers = [follow(answer) for o in OPERATIONS.values() for answer in o["responses"].values()]
    parts += [follow(header) for answer in answers for header in answer["headers"].values()]
    for part in parts:
        schema = {**part["schema"], "components": DESCRIPTION["components"]}
        validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        assert [error.message for error in validator.iter_errors(part["example"])] == [], part


def test_the_example_of_a_problem_is_a_problem_of_its_name() -> None:
    for name, example in DESCRIPTION["components"]["examples"].items():
        assert example["value"]["type"].endswith(f":{name}")
        assert parse_answer(Problem, example["value"]) | example["value"] == parse_answer(Problem, example["value"])


def test_the_version_that_a_change_is_based_on_is_the_one_before_its_answer() -> None:
    """The headers tell the same story as the bodies."""
    for operation in OPERATIONS.values():
        sent = {p["name"]: p["example"] for p in map(follow, operation["parameters"])}
        if "If-Match" in sent:
            answer = operation["responses"]["200"]
            version = answer["content"]["application/json"]["example"]["version"]
            assert (sent["If-Match"], answer["headers"]["ETag"]["example"]) == (f'"{version - 1}"', f'"{version}"')


def test_the_examples_tell_one_story() -> None:
    """Every person and thing whose id stands in a path appears in the answers too."""
    answers = json.dumps([example.answer for example in EXAMPLES.values()])
    assert [name for name, (_, example) in PATH_IDS.items() if example not in answers] == []


class OldAndNewQuery(RequestModel):
    new: str | None = Field(default=None, description="Only these.")
    old: str | None = Field(default=None, description="The name of `new` before.", deprecated=True)


def test_a_filter_that_is_going_away_says_so() -> None:
    """It is the parameter that is deprecated, not its values."""
    router: Api = Api()

    @router.get("/notes", summary="List notes", input=OldAndNewQuery, answer=None)
    def list_notes(_call: Call[OldAndNewQuery]) -> Answer:
        return Answer(200)

    described = describe(router.operations.values(), version="1")["paths"]["/notes"]["get"]["parameters"]
    assert [parameter.get("deprecated") for parameter in described] == [None, True]
    assert [set(parameter["schema"]) for parameter in described] == [{"type"}, {"type"}]
