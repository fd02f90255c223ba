"""The check that the API's description says everything: each thing that is taken away is missed."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tools.openapi.__main__ import PUBLISHED, render_description
from tools.openapi.completeness import UnnamedEnum, find_gaps
from tools.openapi.enums import find_name
from tools.openapi.story.all_examples import EXAMPLES

JSON = dict[str, Any]
CONDITIONS = ("if", "then", "else")
COMPLETE: JSON = json.loads(render_description())


def take_operation(description: JSON) -> JSON:
    """Return the operation that submits a claim."""
    operation: JSON = description["paths"]["/claims"]["post"]
    return operation


def take_parameter(description: JSON) -> JSON:
    """Return the filter of the list of claims by state."""
    parameters = description["paths"]["/claims"]["get"]["parameters"]
    return next(p for p in parameters if p["name"] == "state")


def take_property(description: JSON) -> JSON:
    """Return the property of an answer with what a claim demands, which has a type of its own."""
    described: JSON = description["components"]["schemas"]["ClaimView"]["properties"]["amount"]
    return described


BREAKS: dict[str, tuple[Callable[[JSON], object], str]] = {
    "id": (lambda d: take_operation(d).update(operationId=""), "POST /claims: no operation_id such as claims.create"),
    "id-of-one-word": (lambda d: take_operation(d).update(operationId="claims"), "POST /claims: no operation_id"),
    "id-of-two-operations": (
        lambda d: take_operation(d).update(operationId="claims.list"),
        "claims.list: 2 operations have this id",
    ),
    "example-of-no-operation": (
        lambda d: d["paths"]["/claims"].pop("post"),
        "claims.create: no operation has this id: remove its example",
    ),
    "tag": (
        lambda d: d.update(tags=[tag for tag in d["tags"] if tag["name"] != "claims"]),
        "POST /claims: its tag 'claims' has no description",
    ),
    "description": (
        lambda d: take_operation(d).update(description="\n\nWho: member."),
        "POST /claims: no description: write the handler's docstring",
    ),
    "description-of-a-parameter": (
        lambda d: take_parameter(d).pop("description"),
        "GET /claims: parameter state: no description",
    ),
    "example-of-a-parameter": (lambda d: take_parameter(d).pop("example"), "GET /claims: parameter state: no example"),
    "example-of-a-body": (
        lambda d: take_operation(d)["requestBody"]["content"]["application/json"].pop("examples"),
        "POST /claims: body: no example of application/json",
    ),
    "example-of-an-answer": (
        lambda d: take_operation(d)["responses"]["201"]["content"]["application/json"].pop("example"),
        "POST /claims: answer 201: no example of application/json",
    ),
    "example-of-a-problem": (
        lambda d: d["components"]["responses"]["unavailable"]["content"]["application/problem+json"].pop("examples"),
        "POST /claims: answer 503: no example of application/problem+json",
    ),
    "description-of-an-answer": (
        lambda d: take_operation(d)["responses"]["201"].pop("description"),
        "POST /claims: answer 201: no description",
    ),
    "description-of-a-header": (
        lambda d: d["components"]["headers"]["RateLimit"].pop("description"),
        "POST /claims: answer 201: header RateLimit: no description",
    ),
    "example-of-a-header": (
        lambda d: take_operation(d)["responses"]["201"]["headers"]["ETag"].pop("example"),
        "POST /claims: answer 201: header ETag: no example",
    ),
    "description-of-a-schema": (
        lambda d: d["components"]["schemas"]["ClaimView"].pop("description"),
        "ClaimView: no description: write the model's docstring",
    ),
    "description-of-a-property": (
        lambda d: take_property(d).pop("description"),
        "ClaimView/amount: no description: Field(description=…) in its model",
    ),
    "description-that-repeats-the-name": (
        lambda d: take_property(d).update(description="The amount."),
        "ClaimView/amount: its description only repeats its name",
    ),
    "description-that-is-no-sentence": (
        lambda d: take_property(d).update(description="What is demanded from the company"),
        "ClaimView/amount: its description is no sentence",
    ),
}


@pytest.mark.parametrize(("take", "gap"), BREAKS.values(), ids=list(BREAKS))
def test_what_is_missing_is_named(take: Callable[[JSON], object], gap: str) -> None:
    description = copy.deepcopy(COMPLETE)
    take(description)
    found = find_gaps(description, EXAMPLES)
    assert [each for each in found if each.startswith(gap)], found


def test_a_complete_description_has_no_gap() -> None:
    assert find_gaps(COMPLETE, EXAMPLES) == []


def test_a_property_is_described_at_itself_though_the_schema_it_refers_to_is_too() -> None:
    """Clients' generators and the documentation's page show what stands at the property."""
    description = copy.deepcopy(COMPLETE)
    properties = description["components"]["schemas"]["ClaimView"]["properties"]
    properties["state"] = {"$ref": properties["state"]["$ref"]}
    assert find_gaps(description, EXAMPLES) == ["ClaimView/state: no description: Field(description=…) in its model"]


def test_every_property_of_every_schema_of_the_published_contract_is_described() -> None:
    """Nested schemas count too: this looks for properties by itself, whatever the check above reads."""
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    found = dict(list_properties(published["components"]["schemas"], "schemas"))
    assert len(found) > 250
    assert [place for place, schema in found.items() if not schema.get("description")] == []


def list_properties(part: Any, place: str) -> Iterator[tuple[str, JSON]]:
    """Yield each property of the schemas in a part of a description; conditions (`if`) only name those that are."""
    if isinstance(part, list):
        for each in part:
            yield from list_properties(each, place)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == "properties" and "type" in part:
                yield from ((f"{place}/{name}", schema) for name, schema in value.items())
            if key not in CONDITIONS:
                yield from list_properties(value, f"{place}/{key}")


def test_an_enum_without_a_name_is_told_to_get_one() -> None:
    """Its values are written, so that it can be found."""
    with pytest.raises(UnnamedEnum, match=r"0 names in tools/openapi/enums.py for the values lost, found"):
        find_name(["lost", "found"])
    assert find_name(["basic", "standard", "family", "business"]) == "Plan"
