"""The comparison of the API's description with the published contract: what breaks its clients, and what does not."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.openapi import __main__ as command
from tools.openapi.__main__ import PUBLISHED
from tools.openapi.compatibility import find_breaking_changes, is_raised

JSON = dict[str, Any]
Change = Callable[[JSON], object]
CONTRACT: JSON = json.loads(PUBLISHED.read_text(encoding="utf-8"))


def take_operation(contract: JSON, path: str, method: str) -> JSON:
    """Return an operation of a contract."""
    operation: JSON = contract["paths"][path][method]
    return operation


def take_schema(contract: JSON, name: str) -> JSON:
    """Return the schema of a model or enum."""
    schema: JSON = contract["components"]["schemas"][name]
    return schema


def take_field(contract: JSON, model: str, field: str) -> JSON:
    """Return the schema of a model's field."""
    schema: JSON = take_schema(contract, model)["properties"][field]
    return schema


def take_parameter(contract: JSON, name: str) -> JSON:
    """Return a parameter of the list of claims."""
    return next(p for p in take_operation(contract, "/claims", "get")["parameters"] if p["name"] == name)


def remove_field(contract: JSON, model: str, field: str) -> None:
    """Remove a field of a model."""
    schema = take_schema(contract, model)
    schema["properties"].pop(field)
    schema["required"] = [name for name in schema["required"] if name != field]


def add_field(contract: JSON, model: str, *, required: bool) -> None:
    """Add a field to a model."""
    schema = take_schema(contract, model)
    schema["properties"]["added"] = {"type": "string"}
    schema["required"] = [*schema["required"], *(["added"] if required else [])]


def add_parameter(contract: JSON, *, required: bool) -> None:
    """Add a parameter to the list of claims."""
    parameter = {"name": "added", "in": "query", "required": required, "schema": {"type": "string"}}
    take_operation(contract, "/claims", "get")["parameters"].append(parameter)


def remove_parameter(contract: JSON, name: str) -> None:
    """Remove a parameter of the list of claims."""
    operation = take_operation(contract, "/claims", "get")
    operation["parameters"] = [p for p in operation["parameters"] if p["name"] != name]


BREAKING: dict[str, tuple[Change, str]] = {
    "operation removed": (lambda c: c["paths"]["/claims"].pop("post"), "POST /claims: the operation is gone"),
    "path removed": (lambda c: c["paths"].pop("/payouts"), "GET /payouts: the operation is gone"),
    "operation renamed": (
        lambda c: take_operation(c, "/claims", "post").update(operationId="claims.submit"),
        "POST /claims: the operation id is claims.submit, and was claims.create",
    ),
    "token required": (
        lambda c: take_operation(c, "/agents", "post").update(security=[{"token": []}]),
        "POST /agents: a token is required now",
    ),
    "answer's field removed": (
        lambda c: remove_field(c, "ClaimView", "number"),
        "GET /claims: answer 200/items/(each)/number: the field is gone",
    ),
    "answer's field optional": (
        lambda c: take_schema(c, "ClaimView")["required"].remove("number"),
        "GET /claims: answer 200/items/(each)/number: the field may be missing now",
    ),
    "answer's field null": (
        lambda c: take_schema(c, "ClaimView")["properties"].update(
            number={"anyOf": [{"type": "string"}, {"type": "null"}]}
        ),
        "GET /claims: answer 200/items/(each)/number: it may be null now",
    ),
    "answer's type changed": (
        lambda c: take_field(c, "ClaimView", "version").update(type="string"),
        "GET /claims: answer 200/items/(each)/version: the type is string, and was integer",
    ),
    "answer's integer a number": (
        lambda c: take_field(c, "ClaimView", "version").update(type="number"),
        "GET /claims: answer 200/items/(each)/version: the type is number, and was integer",
    ),
    "answer's enum wider": (
        lambda c: take_schema(c, "ClaimState")["enum"].append("paused"),
        "GET /claims: answer 200/items/(each)/state: the value may be 'paused' now, which no client knows",
    ),
    "answer's enum open": (
        lambda c: take_schema(c, "DocumentState").pop("enum"),
        "/documents: answer 200/items/(each)/state: the value may be any other now",
    ),
    "answer's status changed": (
        lambda c: take_operation(c, "/claims", "post")["responses"].update(
            {"200": take_operation(c, "/claims", "post")["responses"].pop("201")}
        ),
        "POST /claims: answer 201 is gone",
    ),
    "answer's media type changed": (
        lambda c: take_operation(c, "/claims", "post")["responses"]["201"].update(content={"text/csv": {}}),
        "POST /claims: answer 201 is not application/json any more",
    ),
    "answer's header removed": (
        lambda c: take_operation(c, "/claims", "post")["responses"]["201"]["headers"].pop("ETag"),
        "POST /claims: answer 201: the header ETag is gone",
    ),
    "answer's header optional": (
        lambda c: take_operation(c, "/claims", "post")["responses"]["201"]["headers"]["ETag"].update(required=False),
        "POST /claims: answer 201: the header ETag may be missing now",
    ),
    "problem's field removed": (
        lambda c: remove_field(c, "Problem", "instance"),
        "/instance: the field is gone",
    ),
    "input required": (
        lambda c: add_field(c, "NewClaim", required=True),
        "POST /claims: body/added: the field is required now",
    ),
    "input's field required": (
        lambda c: take_schema(c, "NewClaim")["required"].append("currency"),
        "POST /claims: body/currency: the field is required now",
    ),
    "input's field removed": (
        lambda c: remove_field(c, "NewClaim", "company_name"),
        "POST /claims: body/company_name: the field is gone",
    ),
    "input's enum narrowed": (
        lambda c: take_schema(c, "Category")["enum"].remove("injury"),
        "POST /claims: body/category: the value 'injury' is refused now",
    ),
    "input's values listed": (
        lambda c: take_field(c, "NewClaim", "amount").update(enum=["250.00"]),
        "POST /claims: body/amount: the value any other is refused now",
    ),
    "input's type changed": (
        lambda c: take_field(c, "NewDocument", "size").update(type="string"),
        "/documents: body/size: the type is string, and was integer",
    ),
    "input's null refused": (
        lambda c: take_schema(c, "NewMember")["properties"].update(referral_code={"type": "string"}),
        "POST /members: body/referral_code: null is refused now",
    ),
    "input longer": (
        lambda c: take_field(c, "AgentApplication", "city").update(minLength=3),
        "POST /agents: body/city: minLength is 3, and was 1",
    ),
    "input shorter": (
        lambda c: take_field(c, "AgentApplication", "city").update(maxLength=50),
        "POST /agents: body/city: maxLength is 50, and was 100",
    ),
    "input's pattern changed": (
        lambda c: take_field(c, "NewClaim", "amount").update(pattern="^[0-9]+$"),
        "POST /claims: body/amount: pattern is another one",
    ),
    "input's rule added": (
        lambda c: take_schema(c, "NewClaim").update(
            {"if": {"required": ["amount"]}, "then": {"required": ["currency"]}}
        ),
        "POST /claims: body: if is another one",
    ),
    "body required": (
        lambda c: take_operation(c, "/members/{member_id}/pause", "post")["requestBody"].update(required=True),
        "POST /members/{member_id}/pause: a body is required now",
    ),
    "body removed": (
        lambda c: take_operation(c, "/claims", "post").pop("requestBody"),
        "POST /claims: the body is gone",
    ),
    "parameter added that is required": (
        lambda c: add_parameter(c, required=True),
        "GET /claims: parameter added (query) is required now",
    ),
    "parameter required": (
        lambda c: take_parameter(c, "state").update(required=True),
        "GET /claims: parameter state (query) is required now",
    ),
    "key required": (
        lambda c: c["components"]["parameters"]["OptionalIdempotencyKey"].update(required=True),
        "PATCH /agents/{agent_id}: parameter Idempotency-Key (header) is required now",
    ),
    "parameter removed": (
        lambda c: remove_parameter(c, "stuck"),
        "GET /claims: parameter stuck (query) is gone, and unknown ones are refused",
    ),
    "parameter's range narrowed": (
        lambda c: take_parameter(c, "limit")["schema"].update(maximum=50),
        "GET /claims: parameter limit (query): maximum is 50, and was 100",
    ),
}
COMPATIBLE: dict[str, Change] = {
    "operation added": lambda c: c["paths"].update({"/added": {"get": take_operation(c, "/claims", "get")}}),
    "token no longer required": lambda c: take_operation(c, "/claims", "get").update(security=[{}, {"token": []}]),
    "field of an answer added": lambda c: add_field(c, "ClaimView", required=True),
    "optional field of an input added": lambda c: add_field(c, "NewClaim", required=False),
    "optional parameter added": lambda c: add_parameter(c, required=False),
    "enum of an input widened": lambda c: take_schema(c, "AgentDecisionKind")["enum"].append("postpone"),
    "enum of an answer narrowed": lambda c: take_schema(c, "JobKind")["enum"].remove("identity"),
    "input may be longer": lambda c: take_field(c, "AgentApplication", "city").update(maxLength=200),
    "input without a pattern": lambda c: take_field(c, "NewClaim", "amount").pop("pattern"),
    "number where an integer was asked": lambda c: take_field(c, "NewDocument", "size").update(type="number"),
    "problem added": lambda c: take_operation(c, "/claims", "get")["responses"].update(
        {"418": {"$ref": "#/components/responses/internal"}}
    ),
    "problem removed": lambda c: take_operation(c, "/claims", "get")["responses"].pop("403"),
    "words changed": lambda c: take_operation(c, "/claims", "get").update(summary="Show claims", description="Lists."),
    "example changed": lambda c: take_parameter(c, "state").update(example="court"),
    "header of an answer added": lambda c: take_operation(c, "/claims", "get")["responses"]["200"]["headers"].update(
        {"Added": {"schema": {"type": "string"}}}
    ),
}


def change_contract(change: Change) -> JSON:
    """Return the contract with a change."""
    changed = copy.deepcopy(CONTRACT)
    change(changed)
    return changed


@pytest.mark.parametrize(("change", "message"), BREAKING.values(), ids=list(BREAKING))
def test_a_change_that_breaks_clients_is_named(change: Change, message: str) -> None:
    found = find_breaking_changes(CONTRACT, change_contract(change))
    assert [each for each in found if message in each], found


@pytest.mark.parametrize("change", COMPATIBLE.values(), ids=list(COMPATIBLE))
def test_a_change_that_clients_can_take_is_not(change: Change) -> None:
    changed = change_contract(change)
    assert changed != CONTRACT
    assert find_breaking_changes(CONTRACT, changed) == []


def test_a_model_that_gets_a_name_stays_the_same() -> None:
    """Only what is sent counts: whether it is described in place or as a component does not."""
    changed = copy.deepcopy(CONTRACT)
    changed["components"]["schemas"]["ClaimView"]["properties"]["state"] = take_schema(CONTRACT, "ClaimState")
    assert find_breaking_changes(CONTRACT, changed) == []


@pytest.mark.parametrize(
    ("old", "new", "raised"), [("2.0.0", "3.0.0", True), ("2.0.0", "2.9.9", False), ("9.0.0", "10.0.0", True)]
)
def test_only_the_first_number_says_that_clients_have_to_change(old: str, new: str, raised: bool) -> None:
    assert is_raised(old, new) is raised


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return the places of a description and of a contract whose clients rely on an operation that is gone."""
    older = copy.deepcopy(CONTRACT)
    older["paths"]["/refunds"] = {"get": take_operation(older, "/claims", "get")}
    served, published = tmp_path / "served.json", tmp_path / "published.json"
    published.write_text(json.dumps(older), encoding="utf-8")
    return served, published


def test_a_change_that_breaks_clients_is_not_published(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The description that is served is written, so that the change can be tried."""
    served, published = files
    before = published.read_text(encoding="utf-8")
    assert command.main([], served, published) == 1
    assert published.read_text(encoding="utf-8") == before
    assert served.exists()
    assert "GET /refunds: the operation is gone" in capsys.readouterr().err
    assert command.main(["--check"], served, published) == 1


def test_a_break_of_the_contract_is_published_with_a_new_major_version(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, published = files
    monkeypatch.setattr(command, "VERSION", "3.0.0")
    assert command.main([], served, published) == 0
    assert json.loads(published.read_text(encoding="utf-8"))["info"]["version"] == "3.0.0"
    assert command.main(["--check"], served, published) == 0


def test_a_change_that_clients_can_take_is_published_as_it_is(tmp_path: Path) -> None:
    served, published = tmp_path / "served.json", tmp_path / "published.json"
    published.write_text(json.dumps(change_contract(lambda c: c["paths"].pop("/claims"))), encoding="utf-8")
    assert command.main(["--check"], served, published) == 1
    assert command.main([], served, published) == 0
    assert command.main(["--check"], served, published) == 0
