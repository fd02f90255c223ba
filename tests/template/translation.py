"""template.yaml as CloudFormation gets it: read with its tags, and put through the real SAM translator."""

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local.template import read_template, replace_code
from tests.services import EMULATOR_PYTHON, ROOT

TEMPLATE = ROOT / "template.yaml"
DATABASE = ROOT / "templates/database.yaml"  # nested in it
REGION = "eu-central-1"
ARTIFACT = "s3://an-artifact-bucket/artifact.zip"
Json = dict[str, Any]

# The translator lives in the emulator's environment: it can't share one with the pydantic of the layer.
TRANSLATE = """
import json, sys
from types import SimpleNamespace
from samtranslator.translator.transform import transform
template, parameters = json.load(sys.stdin)
json.dump(transform(template, parameters, SimpleNamespace(load=dict)), sys.stdout)
"""


def load_template(path: Path = TEMPLATE) -> Json:
    """Return the template as it stands, its short tags written out."""
    return read_template(path.read_text(encoding="utf-8"))


@cache
def _translate_text(path: Path, parameters: str = "{}") -> str:
    answer = subprocess.run(
        [str(EMULATOR_PYTHON), "-c", TRANSLATE],
        input=json.dumps([replace_code(load_template(path), ARTIFACT), json.loads(parameters)]),
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_DEFAULT_REGION": REGION},
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def translate(path: Path = TEMPLATE) -> Json:
    """Return a fresh copy of what the SAM transform makes of a template."""
    document: Json = json.loads(_translate_text(path))
    return document


def translate_with(parameters: dict[str, str]) -> Json:
    """Return what the SAM transform makes of template.yaml with these values of parameters."""
    document: Json = json.loads(_translate_text(TEMPLATE, json.dumps(parameters)))
    return document


def list_mappings(value: Any, place: str = "") -> Iterator[tuple[str, Json]]:
    """Yield every mapping inside `value`, with the place where it stands."""
    if isinstance(value, dict):
        yield place, value
        for key, item in value.items():
            yield from list_mappings(item, f"{place}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from list_mappings(item, f"{place}/{index}")


def find_by_type(template: Json, kind: str) -> dict[str, Json]:
    """Return the properties of the resources of one type, by logical id."""
    resources: dict[str, Json] = template["Resources"]
    return {name: r.get("Properties", {}) for name, r in resources.items() if r["Type"] == kind}


@cache
def list_attributes(kind: str) -> frozenset[str]:
    """Return what Fn::GetAtt may ask of a type: by CloudFormation's schema, or the nested stack's outputs."""
    if kind == "AWS::CloudFormation::Stack":
        return frozenset(f"Outputs.{name}" for name in load_template(DATABASE)["Outputs"])
    return frozenset(PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).get_atts)
