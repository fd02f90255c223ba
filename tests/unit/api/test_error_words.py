"""Errors of fields have our words: no type of error that a model can raise is described by pydantic."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError
from pydantic_core._pydantic_core import list_all_errors  # of the whole library, which exports it nowhere else

from agents.app import api as agents
from claims.app import api as claims
from health.app import api as health
from jobs_api.app import api as jobs
from members.app import api as members
from operations.app import COMMANDS
from pages.app import api as pages
from shared.api.field_errors import OTHER, WORDS, list_body_errors, list_parameter_errors
from shared.clock import read_utc_now
from shared.errors import FieldError
from shared.fields import RequestModel
from shared.fields.rules import BROKEN_RULE
from tests.services import ROOT

OPERATIONS = [o for api in (agents, claims, health, jobs, members, pages) for o in api.operations.values()]
BODIES = sorted({o.input for o in OPERATIONS if o.is_write}, key=lambda model: model.__name__)
QUERIES = sorted({o.input for o in OPERATIONS if not o.is_write}, key=lambda model: model.__name__)
MODELS = [*BODIES, *QUERIES, *COMMANDS.values()]

# The errors that pydantic can report for each kind of node in a model's schema, read from JSON, strings or Python.
OF_NODES: Mapping[str, set[str]] = {
    "model": {"model_type"},
    "model-fields": {"model_type", "extra_forbidden", "missing"},
    "model-field": set(),
    "default": set(),
    "nullable": set(),
    "no-info": set(),
    "with-info": set(),
    "function-after": {BROKEN_RULE},
    "function-before": {BROKEN_RULE},
    "literal": {"literal_error"},
    "str": {"string_type", "string_unicode"},
    "int": {"int_type", "int_parsing", "int_parsing_size", "int_from_float", "finite_number"},
    "bool": {"bool_type", "bool_parsing"},
    "date": {"date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"},
    "datetime": {"datetime_type", "datetime_parsing", "datetime_object_invalid", "datetime_from_date_parsing"},
}
OF_BOUNDS: Mapping[str, str] = {
    "min_length": "string_too_short",
    "max_length": "string_too_long",
    "pattern": "string_pattern_mismatch",
    "ge": "greater_than_equal",
    "le": "less_than_equal",
    "tz_constraint": "timezone_aware",
}
# Keys of a node that hold other nodes, or nothing that raises.
OTHER_KEYS = {"type", "schema", "fields", "function", "expected", "default", "validate_default", "strict"}
OTHER_KEYS |= {"metadata", "ref", "serialization", "config", "cls", "custom_init", "root_model", "post_init"}
OTHER_KEYS |= {"model_name", "computed_fields", "microseconds_precision"}


def list_nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield each node of a core schema."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("type"), str):
            yield schema
        parts = [value for key, value in schema.items() if key not in ("metadata", "serialization", "config")]
        yield from chain.from_iterable(map(list_nodes, parts))
    elif isinstance(schema, list | tuple):
        yield from chain.from_iterable(map(list_nodes, schema))


def list_possible_errors(model: type[BaseModel]) -> set[str]:
    """Return the types of error that a model can raise. Raise KeyError for a schema that this test does not know."""
    found: set[str] = set()
    for node in list_nodes(model.__pydantic_core_schema__):
        found |= OF_NODES[node["type"]]
        found |= {OF_BOUNDS[key] for key in node.keys() - OTHER_KEYS}
    return found


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_error_that_a_model_can_raise_has_words_of_ours(model: type[BaseModel]) -> None:
    """A model with another kind of field fails here until its errors are described."""
    assert list_possible_errors(model) - WORDS.keys() == set()


def test_every_described_error_exists() -> None:
    """Words for a type that pydantic does not know would never be used."""
    known = {error["type"] for error in list_all_errors()}
    assert WORDS.keys() - known == {BROKEN_RULE}


def test_our_rules_raise_one_type_of_error_only() -> None:
    """Another one, or a ValueError, would be answered as pydantic words it, or as not valid."""
    places = [*ROOT.glob("functions/*/*/model.py"), *ROOT.glob("layers/shared/shared/fields/*.py")]
    raised = {
        (path.name, name)
        for path in places
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        for name in [node.func.id]
        if name.startswith("Pydantic") or name in ("ValueError", "AssertionError")
    }
    assert raised == {("rules.py", "PydanticCustomError")}


def template_to_pattern(template: str) -> re.Pattern[str]:
    return re.compile(".+".join(map(re.escape, re.split(r"\{[^}]*\}", template))))


# pydantic's own sentences, without those that consist of a value alone.
PYDANTICS = [template_to_pattern(e["message_template_python"]) for e in list_all_errors()]
PYDANTICS += [
    template_to_pattern(e["message_template_json"]) for e in list_all_errors() if "message_template_json" in e
]
SHIBBOLETHS = re.compile(r"Input should|should (be|have|match|not)|Field required|not permitted|Value error|unable to")


def find_foreign(errors: list[FieldError]) -> list[str]:
    """Return the sentences that are not ours."""
    return [
        error.detail
        for error in errors
        if error.detail == OTHER
        or SHIBBOLETHS.search(error.detail)
        or any(sentence.fullmatch(error.detail) for sentence in PYDANTICS if sentence.pattern != ".+")
    ]


def read_body(model: type[BaseModel], value: Any) -> ValidationError | None:
    try:
        model.model_validate_json(json.dumps(value), strict=True, context={"now": read_utc_now()})
    except ValidationError as error:
        return error
    return None


def read_query(model: type[BaseModel], value: dict[str, str]) -> ValidationError | None:
    try:
        model.model_validate_strings(value, strict=True)
    except ValidationError as error:
        return error
    return None


def list_types(error: ValidationError | None) -> set[str]:
    return {each["type"] for each in error.errors(include_url=False)} if error else set()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, 1e300, 0.5, 2.0, "2026-11-02", "rejected", "text/plain", "approve", "EUR", "x" * 300])
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FUZZ = settings(max_examples=80, suppress_health_check=list(HealthCheck), deadline=None)


def make_values(model: type[BaseModel], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects that have some of a model's fields and some unknown ones, each with any value."""
    return st.dictionaries(st.sampled_from([*model.model_fields, "unknown", "a/b"]), values, max_size=12)


@pytest.mark.parametrize("model", BODIES, ids=lambda model: model.__name__)
def test_no_body_is_answered_with_words_of_pydantic(model: type[BaseModel]) -> None:
    """No body can cause them; pointers are JSON pointers, and no sentence quotes a text of the body."""

    @FUZZ
    @given(make_values(model, VALUES))
    def check(value: dict[str, Any]) -> None:
        error = read_body(model, value)
        assert list_types(error) <= list_possible_errors(model)
        errors = list_body_errors(error, model) if error else []
        assert find_foreign(errors) == []
        assert [e.pointer for e in errors if e.pointer and not e.pointer.startswith("/")] == []

    check()


@pytest.mark.parametrize(
    "model", [q for q in QUERIES if q.__name__ != "IgnoredQuery"], ids=lambda model: model.__name__
)
def test_no_query_is_answered_with_words_of_pydantic(model: type[BaseModel]) -> None:
    """No query can cause them; pointers are the names of parameters."""

    @FUZZ
    @given(make_values(model, st.text(max_size=20) | st.sampled_from(["0", "101", "9" * 30, "me", "true", "x" * 300])))
    def check(value: dict[str, str]) -> None:
        error = read_query(model, value)
        assert list_types(error) <= list_possible_errors(model)
        errors = list_parameter_errors(error, model) if error else []
        assert find_foreign(errors) == []
        assert {e.pointer for e in errors} <= value.keys()

    check()


class Sample(RequestModel):
    name: str = Field(min_length=2, max_length=5)
    size: int = Field(default=1, ge=1, le=10)
    done: bool = False


class Empty(RequestModel):
    pass


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "is required"),
        ({"name": None}, "must be a string, and is null"),
        ({"name": 7}, "must be a string, and is a number"),
        ({"name": True}, "must be a string, and is true or false"),
        ({"name": ["x"]}, "must be a string, and is a list"),
        ({"name": {"a": 1}}, "must be a string, and is an object"),
        ({"name": "x"}, "has 1 character, and needs at least 2"),
        ({"name": "x" * 1234}, "has 1,234 characters, and may have at most 5"),
        ({"name": "xx", "size": "1"}, "must be a whole number, and is a string"),
        ({"name": "xx", "size": 0.5}, "must be a whole number, and is a number with decimals"),
        ({"name": "xx", "size": 0}, "must be at least 1, and is 0"),
        ({"name": "xx", "size": 11}, "must be at most 10, and is 11"),
        ({"name": "xx", "size": 10**15}, "must be at most 10"),
        ({"name": "xx", "done": "yes"}, "must be true or false, and is a string"),
        ({"name": "xx", "nmae": 1}, "is not a field of this call; its fields are name, size, done"),
    ],
)
def test_a_sentence_says_what_is_wrong_and_how_large_it_was(sent: dict[str, Any], said: str) -> None:
    """It names types, bounds and the fields that exist."""
    [error] = read_sample_errors(Sample, sent)
    assert error.detail == said


def read_sample_errors(model: type[BaseModel], sent: dict[str, Any]) -> list[FieldError]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(json.dumps(sent), strict=True)
    return list_body_errors(caught.value, model)


def test_an_unknown_field_of_a_call_without_fields_is_told_so() -> None:
    assert [e.detail for e in read_sample_errors(Empty, {"x": 1})] == ["is not a field of this call; it has none"]


def test_a_type_of_error_without_words_is_answered_without_pydantics() -> None:
    """For instance, one that a newer pydantic reports."""

    class Odd(BaseModel):
        ratio: float = Field(multiple_of=0.5)

    with pytest.raises(ValidationError) as caught:
        Odd.model_validate({"ratio": 0.3})
    assert [e.detail for e in list_body_errors(caught.value, Odd)] == [OTHER]
