"""Nothing in the template points at something that is not there."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.template.translation import Json, list_attributes, list_mappings, translate

PSEUDO = {
    f"AWS::{name}" for name in ("AccountId", "NoValue", "Partition", "Region", "StackId", "StackName", "URLSuffix")
}
PLACEHOLDER = re.compile(r"\$\{([^!}][^}]*)\}")


def dangling(template: Json) -> list[str]:
    """Every reference of the translated template that resolves to nothing, and where it stands."""
    return [
        f"{place}: {wanted}"
        for place, node in list_mappings({key: template[key] for key in ("Conditions", "Resources", "Outputs")})
        for wanted in _wanted(node)
        if not _resolves(template, wanted)
    ]


def _wanted(node: Json) -> Iterator[str]:
    """What a mapping refers to: `Name`, `Name.Attribute` or `condition Name`."""
    if len(node) == 1:
        (function, value), *_ = node.items()
        yield from _wanted_by(function, value)
    if isinstance(condition := node.get("Condition"), str):
        yield f"condition {condition}"
    depends = node.get("DependsOn", [])
    yield from [depends] if isinstance(depends, str) else depends


def _wanted_by(function: str, value: Any) -> Iterator[str]:
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


def _resolves(template: Json, wanted: str) -> bool:
    if wanted.startswith("condition "):
        return wanted.removeprefix("condition ") in template["Conditions"]
    name, _, attribute = wanted.partition(".")
    if attribute:
        resource = template["Resources"].get(name)
        return resource is not None and attribute in list_attributes(resource["Type"])
    return name in PSEUDO or name in template["Parameters"] or name in template["Resources"]


def test_every_reference_resolves() -> None:
    """Each Ref, GetAtt, Sub, If, Condition and DependsOn names something that exists and has that attribute."""
    assert dangling(translate()) == []


@pytest.mark.parametrize(
    "reference",
    [
        {"Fn::GetAtt": ["UserPool", "Arm"]},
        {"Fn::GetAtt": "UserPol.Arn"},
        {"Ref": "StateTabel"},
        {"Fn::Sub": "${EvidenceBucket.Arn}/${AWS::Acount}"},
        {"Fn::If": ["InVpcs", "a", "b"]},
    ],
)
def test_a_misspelt_reference_is_found(reference: Json) -> None:
    """The check sees what the linters overlooked: a name or attribute that is one letter off."""
    template = translate()
    template["Outputs"]["ApiUrl"]["Value"] = reference

    assert len(dangling(template)) == 1


def test_every_parameter_is_used() -> None:
    """A parameter that nothing reads would be a promise that nothing keeps."""
    template = translate()
    used = {wanted for _, node in list_mappings(template) for wanted in _wanted(node)}
    used |= {name for name in template["Parameters"] if f'"{name}"' in str(template["Rules"])}

    assert set(template["Parameters"]) - used == set()
