"""What stays in the layer of botocore is what the code calls, and describes it as botocore itself does."""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

import trim_packages
from tests.packages import PACKAGES

# Deployed without the layer: they have the runtime's own boto3.
WITHOUT_LAYER = ("database_setup", "pretraffic")
CONTENTS = trim_packages.read_contents()
OPERATIONS: Mapping[str, list[str]] = CONTENTS["operations"]
# Operations that botocore itself looks up: it signs an upload's form for the address of CreateBucket.
LOOKED_UP = {"s3": ["CreateBucket"]}
CLIENT_MAKERS = {"_build_client", "boto3", "get_health_client"}


@cache
def load_model(service: str) -> Any:
    """Return the whole description of a service, with botocore's corrections."""
    return Loader().load_service_model(service, "service-2")


def list_trees() -> Iterator[ast.Module]:
    """Yield the syntax of each file that is deployed with the layer."""
    for folder in PACKAGES:
        if folder.name not in WITHOUT_LAYER:
            for path in folder.rglob("*.py"):
                yield ast.parse(path.read_text(encoding="utf-8"))


@cache
def list_called_names() -> frozenset[str]:
    """Return the name of each method called in the code, and the first argument of each, if it is text."""
    names: set[str] = set()
    for tree in list_trees():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                names.add(call.func.attr)
                names |= {str(each.value) for each in call.args[:1] if isinstance(each, ast.Constant)}
    return frozenset(names)


def list_client_names() -> frozenset[str]:
    """Return each text in the files that name a maker of clients: the services' names are among them."""
    texts: set[str] = set()
    for tree in list_trees():
        nodes = list(ast.walk(tree))
        if CLIENT_MAKERS & {node.id for node in nodes if isinstance(node, ast.Name)}:
            texts |= {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    return frozenset(texts)


def list_called(service: str) -> list[str]:
    """Return a service's operations of whose name a method is called in the code."""
    return [name for name in load_model(service)["operations"] if xform_name(name) in list_called_names()]


@pytest.mark.parametrize("service", list(OPERATIONS))
def test_the_layer_has_the_operations_that_are_called(service: str) -> None:
    """A missing one would fail in its first call; one too many is dead weight."""
    assert OPERATIONS[service] == sorted(list_called(service) + LOOKED_UP.get(service, []))


def test_the_layer_has_the_services_that_there_is_a_client_of() -> None:
    """Their names are texts in the files that make clients, where no other text is a service's name."""
    known = set(Loader().list_available_services("service-2"))
    assert list_client_names() & known == set(OPERATIONS)


def test_no_paginator_and_no_waiter_is_used() -> None:
    """The layer has none."""
    assert not list_called_names() & {"get_paginator", "get_waiter"}


def describe_shape(shape: Shape | None, seen: tuple[str, ...] = ()) -> Any:
    """Return all that botocore's serialisers and parsers read of a shape, in depth."""
    if shape is None or shape.name in seen:
        return None if shape is None else shape.name
    inner = (*seen, shape.name)
    described: dict[str, Any] = {"type": shape.type_name, "serialization": shape.serialization, **shape.metadata}
    if isinstance(shape, StructureShape):
        members = {name: describe_shape(member, inner) for name, member in shape.members.items()}
        return {**described, "members": members, "error": shape.error_code, "order": list(members)}
    for part in ("member", "key", "value"):
        described[part] = describe_shape(getattr(shape, part, None), inner)
    return described


def describe_operation(operation: OperationModel) -> dict[str, Any]:
    """Return all that a call by an operation depends on."""
    errors = [describe_shape(error) for error in operation.error_shapes]
    traits = {name: getattr(operation, name) for name in ("http", "auth", "http_checksum", "idempotent_members")}
    traits |= {"static": operation.static_context_parameters, "context": repr(operation.context_parameters)}
    shapes = (describe_shape(operation.input_shape), describe_shape(operation.output_shape))
    return {**traits, "shapes": shapes, "errors": errors}


def cut(service: str, operations: Iterable[str]) -> ServiceModel:
    """Return the model of a service as the layer has it: cut, written as JSON and read again."""
    return ServiceModel(json.loads(json.dumps(trim_packages.cut_model(load_model(service), operations))), service)


@pytest.mark.parametrize("service", list(OPERATIONS))
def test_a_cut_model_describes_its_operations_as_before(service: str) -> None:
    """Every shape that an operation takes, returns or fails with, and what the service says of itself."""
    before, after = ServiceModel(load_model(service), service), cut(service, OPERATIONS[service])
    assert after.operation_names == OPERATIONS[service]
    assert after.metadata == before.metadata
    assert after.client_context_parameters == before.client_context_parameters
    for name in OPERATIONS[service]:
        described = describe_operation(before.operation_model(name))
        assert describe_operation(after.operation_model(name)) == described


def test_a_model_has_no_words() -> None:
    """They are nine tenths of it; a member that is called documentation stays."""
    assert '"documentation"' not in json.dumps(trim_packages.cut_model(load_model("dynamodb"), OPERATIONS["dynamodb"]))
    shape = {"type": "structure", "members": {"documentation": {"shape": "Text", "documentation": "Words."}}}
    assert trim_packages.cut_shape(shape)["members"] == {"documentation": {"shape": "Text"}}


def test_an_operation_that_the_service_lacks_stops_the_build() -> None:
    """It would otherwise be missed in its first call."""
    with pytest.raises(KeyError, match="GetItems"):
        trim_packages.cut_model(load_model("dynamodb"), ["GetItems"])


def test_a_pattern_that_finds_nothing_stops_the_build(tmp_path: Path) -> None:
    """An update of a package renames what we leave out sooner or later."""
    with pytest.raises(trim_packages.NothingFoundError):
        trim_packages.trim_packages(tmp_path)


def test_alternatives_stand_in_braces() -> None:
    """One pair of braces, or none."""
    assert trim_packages.list_alternatives("a/{b,c}.py") == ["a/b.py", "a/c.py"]
    assert trim_packages.list_alternatives("a/*.py") == ["a/*.py"]
