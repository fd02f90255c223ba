"""Nothing in the templates points at something that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.template.translation import (
    DATABASE,
    TEMPLATE,
    Json,
    find_by_type,
    list_attributes,
    list_mappings,
    load_template,
    translate,
)

PSEUDO = {
    f"AWS::{name}" for name in ("AccountId", "NoValue", "Partition", "Region", "StackId", "StackName", "URLSuffix")
}
PLACEHOLDER = re.compile(r"\$\{([^!}][^}]*)\}")


def list_dangling(template: Json) -> list[str]:
    """Return every reference of the translated template that resolves to nothing, and where it stands."""
    return [
        f"{place}: {wanted}"
        for place, node in list_mappings({key: template[key] for key in ("Conditions", "Resources", "Outputs")})
        for wanted in _list_wanted(node)
        if not _is_resolved(template, wanted)
    ]


def _list_wanted(node: Json) -> Iterator[str]:
    """Return what a mapping refers to: `Name`, `Name.Attribute` or `condition Name`."""
    if len(node) == 1:
        (function, value), *_ = node.items()
        yield from _list_wanted_by(function, value)
    if isinstance(condition := node.get("Condition"), str):
        yield f"condition {condition}"
    depends = node.get("DependsOn", [])
    yield from [depends] if isinstance(depends, str) else depends


def _list_wanted_by(function: str, value: Any) -> Iterator[str]:
    match function:
        case "Ref":
            yield value
        case "Fn::GetAtt":
            yield value if isinstance(value, str) else ".".join(value)
        case "Fn::If":
            yield f"condition {value[0]}"
        case "Fn::Sub":
            text, own = (value, {}) if isinstance(value, str) else value
            yield from (name for name in PLACEHOLDER.findall(text) if name not in own)


def _is_resolved(template: Json, wanted: str) -> bool:
    if wanted.startswith("condition "):
        return wanted.removeprefix("condition ") in template["Conditions"]
    name, _, attribute = wanted.partition(".")
    if attribute:
        resource = template["Resources"].get(name)
        return resource is not None and attribute in list_attributes(resource["Type"])
    return name in PSEUDO or name in template["Parameters"] or name in template["Resources"]


@pytest.mark.parametrize("path", [TEMPLATE, DATABASE], ids=lambda path: path.name)
def test_every_reference_resolves(path: Path) -> None:
    """Each Ref, GetAtt, Sub, If, Condition and DependsOn names something that exists and has that attribute."""
    assert list_dangling(translate(path)) == []


@pytest.mark.parametrize(
    "reference",
    [
        {"Fn::GetAtt": ["UserPool", "Arm"]},
        {"Fn::GetAtt": "UserPol.Arn"},
        {"Ref": "StateTabel"},
        {"Fn::Sub": "${EvidenceBucket.Arn}/${AWS::Acount}"},
        {"Fn::If": ["InVpcs", "a", "b"]},
        {"Fn::GetAtt": ["Database", "Outputs.Hots"]},
    ],
)
def test_a_misspelt_reference_is_found(reference: Json) -> None:
    """The check sees what the linters overlooked: a name or attribute that is one letter off."""
    template = translate()
    template["Outputs"]["ApiUrl"]["Value"] = reference

    assert len(list_dangling(template)) == 1


@pytest.mark.parametrize("path", [TEMPLATE, DATABASE], ids=lambda path: path.name)
def test_every_parameter_is_used(path: Path) -> None:
    """A parameter that nothing reads would be a promise that nothing keeps."""
    template = translate(path)
    used = {wanted for _, node in list_mappings(template) for wanted in _list_wanted(node)}
    used |= {name for name in template["Parameters"] if f'"{name}"' in str(template.get("Rules", {}))}

    assert set(template["Parameters"]) - used == set()


def test_the_nested_template_is_given_each_of_its_parameters_and_no_other() -> None:
    """It has no defaults, so that each value stands in one place."""
    [nested] = find_by_type(translate(), "AWS::CloudFormation::Stack").values()
    parameters = load_template(DATABASE)["Parameters"]

    assert set(nested["Parameters"]) == set(parameters)
    assert [name for name, each in parameters.items() if "Default" in each] == []


def test_what_the_template_takes_the_nested_one_takes_too() -> None:
    """A value that only the nested stack refused would fail half of a deployment."""
    [nested] = find_by_type(translate(), "AWS::CloudFormation::Stack").values()
    bounds = ("AllowedValues", "MinValue", "MaxValue")
    outer, inner = load_template()["Parameters"], load_template(DATABASE)["Parameters"]
    differing = [
        (name, value["Ref"], bound)
        for name, value in nested["Parameters"].items()
        if value["Ref"] in outer
        for bound in bounds
        if bound in inner[name] and inner[name][bound] != outer[value["Ref"]].get(bound)
    ]

    assert differing == []


def test_every_output_of_the_nested_template_is_read() -> None:
    """An output that nothing reads is dead."""
    wanted = {each for _, node in list_mappings(translate()) for each in _list_wanted(node)}
    outputs = load_template(DATABASE)["Outputs"]

    assert {name for name in outputs if f"Database.Outputs.{name}" not in wanted} == set()
