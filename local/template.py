"""CloudFormation templates: reading them, and resolving their intrinsic functions."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CUSTOM_RESOURCE = "AWS::CloudFormation::CustomResource"
REMOVED = object()  # what AWS::NoValue stands for
VARIABLE = re.compile(r"\$\{([^!{}][^{}]*)\}")  # not ${!Literal}

# The reader of the SAM translator, which knows CloudFormation's tags. It runs where the translator is installed: in the
# emulator's environment, because the translator can't share one with the pydantic of the layer.
PYTHON = Path(__file__).resolve().parents[1] / ".venvs/emulator/bin/python"
# A date without quotes is text to CloudFormation.
READ = """
import json, sys, yaml
from samtranslator.yaml_helper import yaml_parse
try:
    json.dump(yaml_parse(sys.stdin), sys.stdout, default=str)
except yaml.YAMLError as error:
    sys.exit(str(error))
"""


class UnreadableTemplate(Exception):
    """A template is not YAML; the message has the parser's words and the line."""


def read_template(text: str) -> dict[str, Any]:
    """Return the template of a YAML text, in long forms. Raise yaml.YAMLError."""
    document: dict[str, Any] = json.loads(_read_as_json(text))
    return document


@cache
def _read_as_json(text: str) -> str:
    command = [str(PYTHON), "-I", "-X", "utf8", "-c", READ]
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise UnreadableTemplate(f"template.yaml can't be read: {done.stderr.strip()}")
    return done.stdout


def list_code_folders(template: Mapping[str, Any], root: Path) -> dict[str, Path]:
    """Return the absolute folder of every function's code, by logical id."""
    resources = template["Resources"].items()
    functions = {k: v["Properties"] for k, v in resources if v["Type"] == "AWS::Serverless::Function"}
    return {logical_id: root / properties["CodeUri"] for logical_id, properties in functions.items()}


def replace_code(template: Mapping[str, Any], location: str) -> dict[str, Any]:
    """Return a copy whose functions and layers take their code from one S3 location: the emulator never runs it."""
    resources = {k: _stub_resource(v, location) for k, v in template["Resources"].items()}
    return {**template, "Resources": resources}


def _stub_resource(resource: dict[str, Any], location: str) -> dict[str, Any]:
    properties = resource.get("Properties", {})
    stubs = {key: location for key in ("CodeUri", "ContentUri") if key in properties}
    return {**resource, "Properties": {**properties, **stubs}} if stubs else resource


def drop_custom_resources(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy without custom resources: the emulator would wait for the answer of a function that never runs."""
    kept = {k: v for k, v in template["Resources"].items() if v["Type"] != CUSTOM_RESOURCE}
    dropped = template["Resources"].keys() - kept.keys()
    return {**template, "Resources": {k: _drop_dependencies(v, dropped) for k, v in kept.items()}}


def _drop_dependencies(resource: dict[str, Any], dropped: AbstractSet[str]) -> dict[str, Any]:
    depends = resource.get("DependsOn", [])
    names = [depends] if isinstance(depends, str) else depends
    rest = {key: value for key, value in resource.items() if key != "DependsOn"}
    kept = [name for name in names if name not in dropped]
    return {**rest, "DependsOn": kept} if kept else rest


def list_dangling_references(template: Mapping[str, Any]) -> set[str]:
    """Return names that the template refers to and doesn't define, which no linter finds completely."""
    known = {*template.get("Parameters", {}), *template["Resources"]}
    names = set(list_references([template["Resources"], template.get("Outputs", {}), template.get("Globals", {})]))
    return {name for name in names if name not in known and not name.startswith("AWS::")}


def list_references(node: Any) -> Iterator[str]:
    """Yield the logical ids in Ref, GetAtt and Sub, at any depth; of `Work.Arn` it is `Work`."""
    if isinstance(node, list):
        for item in node:
            yield from list_references(item)
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        if key == "Ref":
            yield value.split(".")[0]
        elif key == "Fn::GetAtt":
            yield value[0].split(".")[0]
        elif key == "Fn::Sub":
            text, own = value if isinstance(value, list) else (value, {})
            yield from (name.split(".")[0] for name in VARIABLE.findall(text) if name not in own)
        yield from list_references(value)


@dataclass(frozen=True)
class IntrinsicResolver:
    """The resolver of intrinsic functions after a deployment.

    `values` are the results of Ref: parameters, physical ids, pseudo parameters. `attributes` are those of GetAtt, by
    "LogicalId.Name". What is unknown stays in its long form.
    """

    values: Mapping[str, Any]
    attributes: Mapping[str, Any]
    conditions: Mapping[str, Any]

    def resolve(self, node: Any) -> Any:
        """Return the node with everything known resolved."""
        if isinstance(node, list):
            return [value for value in map(self.resolve, node) if value is not REMOVED]
        if not isinstance(node, Mapping):
            return node
        if len(node) == 1:
            name, argument = next(iter(node.items()))
            function = getattr(self, f"_resolve_{str(name).removeprefix('Fn::').lower()}", None)
            if function is not None and (name == "Ref" or str(name).startswith("Fn::")):
                return function(argument)
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not REMOVED}

    def is_condition_true(self, name: str) -> bool:
        """Return whether a named condition is true."""
        return self._evaluate_condition(self.conditions[name])

    def _evaluate_condition(self, node: Any) -> bool:
        name, argument = next(iter(node.items()))
        match name:
            case "Condition":
                return self.is_condition_true(argument)
            case "Fn::Equals":
                left, right = self.resolve(argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self._evaluate_condition(argument[0])
            case "Fn::And":
                return all(map(self._evaluate_condition, argument))
            case "Fn::Or":
                return any(map(self._evaluate_condition, argument))
        raise ValueError(f"no condition function: {name}")

    def _resolve_ref(self, name: str) -> Any:
        return REMOVED if name == "AWS::NoValue" else self.values.get(name, {"Ref": name})

    def _resolve_getatt(self, argument: list[str]) -> Any:
        return self.attributes.get(".".join(argument), {"Fn::GetAtt": argument})

    def _resolve_if(self, argument: list[Any]) -> Any:
        name, then, otherwise = argument
        return self.resolve(then if self.is_condition_true(name) else otherwise)

    def _resolve_join(self, argument: list[Any]) -> Any:
        separator, parts = argument
        resolved = self.resolve(parts)
        return separator.join(map(str, resolved if isinstance(resolved, list) else [resolved]))

    def _resolve_sub(self, argument: Any) -> str:
        text, extra = argument if isinstance(argument, list) else (argument, {})
        local = self.resolve(extra)

        def replace_variable(match: re.Match[str]) -> str:
            name = match[1]
            return str(local.get(name, self.values.get(name, self.attributes.get(name, match[0]))))

        return VARIABLE.sub(replace_variable, text)
