"""An id has one form, wherever it stands: hex digits of either case in five groups, and nothing around them."""

import importlib
from collections.abc import Iterator
from typing import Any, get_args
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from shared.api.call import ApiRequest
from shared.api.parsing import parse_ids, parse_request
from shared.aws.sqs import read_job_id
from shared.deadline import Deadline
from shared.errors import Refusal
from shared.fields import OwnOrId, RecordId
from shared.ids import parse_id
from tests.settings.test_limits import APPS

ID = "0197b1a0-4c5f-7d3e-8a1b-2c3d4e5f6a7b"
BARE = ID.replace("-", "")
OTHERWISE = {
    "braces": f"{{{ID}}}",
    "no dashes": BARE,
    "a missing dash": ID.replace("-", "", 1),
    "dashes elsewhere": f"{BARE[:4]}-{BARE[4:]}",
    "a URN": f"urn:uuid:{ID}",
    "only a uuid: before it": f"uuid:{ID}",
    "a space after it": f"{ID} ",
    "a line's end after it": f"{ID}\n",
    "a digit less": ID[:-1],
    "a digit more": f"{ID}0",
    "another letter": ID.replace("a", "g", 1),
    "digits of another script": ID.replace("5", "٥"),
    "full-width digits": ID.replace("5", "５"),
    "an underscore between digits": ID.replace("0197b1a0", "0197_1a0"),
    "a sign": f"+{ID[1:]}",
    "dashes of another kind": ID.replace("-", "‑"),
    "nothing": "",
}


def _fields() -> Iterator[tuple[str, type[BaseModel], str]]:
    """Return each field of an operation's body or query that takes an id, as name, model and field."""
    for app in APPS:
        for operation in importlib.import_module(app).api.operations.values():
            for name, field in operation.input.model_fields.items():
                if _takes_id(field):
                    yield f"{operation.input.__name__}.{name}", operation.input, name


def _takes_id(field: Any) -> bool:
    forms = {get_args(RecordId)[1], get_args(OwnOrId)[1]}
    return any(part in forms for part in _parts(field.annotation) + list(field.metadata))


def _parts(annotation: Any) -> list[Any]:
    return [annotation, *(part for each in get_args(annotation) for part in _parts(each))]


FIELDS = {name: (model, field) for name, model, field in _fields()}


def _request(value: str) -> ApiRequest:
    event = {"httpMethod": "GET", "resource": "/claims/{claim_id}", "pathParameters": {"claim_id": value}}
    return parse_request(event, Deadline.from_seconds(1.0, lambda: 0.0))


@pytest.mark.parametrize("value", [ID, ID.upper(), f"{ID[:18]}{ID[18:].upper()}"])
def test_an_id_is_one_and_the_same_in_either_case(value: str) -> None:
    """RFC 9562: written in lower case, read in either."""
    assert parse_id(value) == UUID(ID)
    assert parse_ids(_request(value)) == {"claim_id": UUID(ID)}
    assert _request(value).path == {"claim_id": ID}


@pytest.mark.parametrize("value", OTHERWISE.values(), ids=OTHERWISE)
def test_an_id_written_otherwise_is_none(value: str) -> None:
    """A path with it leads to no record, and a message with it to no job."""
    with pytest.raises(ValueError, match="not an id"):
        parse_id(value)
    with pytest.raises(Refusal) as refused:
        parse_ids(_request(value))
    assert refused.value.name == "not-found"


@pytest.mark.parametrize("body", [f'{{"job_id": "{{{ID}}}"}}', f'{{"job_id": "{BARE}"}}', '{"job_id": 7}', "[]"])
def test_a_message_with_another_id_stands_for_no_job(body: str) -> None:
    """Only the relay writes messages, and it writes the one form."""
    with pytest.raises(ValueError, match=r"not an? "):
        read_job_id(body)


def test_the_fields_that_take_ids_are_known() -> None:
    """None of them is a bare UUID, which would take braces as well."""
    assert set(FIELDS) == {
        "CommissionQuery.agent",
        "Assignment.staff_id",
        "ClaimQuery.assignee",
        "ClaimQuery.member_id",
    }
    bare = [
        f"{operation.input.__name__}.{name}"
        for app in APPS
        for operation in importlib.import_module(app).api.operations.values()
        for name, field in operation.input.model_fields.items()
        if UUID in _parts(field.annotation)
    ]
    assert bare == []


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", OTHERWISE.values(), ids=OTHERWISE)
def test_a_field_takes_no_id_that_is_written_otherwise(name: str, value: str) -> None:
    """This holds for bodies and queries."""
    model, field = FIELDS[name]
    with pytest.raises(ValidationError) as refused:
        model.model_validate_strings({field: value}, strict=True)
    assert (field,) in {error["loc"] for error in refused.value.errors()}
