"""docs/reference/resource-types.md has every type of both templates, and says of none more than was done with it."""

import re
from collections import Counter

import pytest

from local.deploy import STACK_NAME, EmulatorClients
from tests.local.emulators import start_emulator
from tests.services import ROOT
from tests.template.test_database_deployment import deploy_created
from tests.template.translation import DATABASE, TEMPLATE, translate

ROW = re.compile(r"^\| (AWS::\w+::\w+) \| (\w+) \| (.+) \|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs/reference/resource-types.md").read_text(encoding="utf-8"))
# The emulator would wait for its handler's answer, and the handler runs against a stand-in instead.
NOT_ASKED_TO_DEPLOY = {"AWS::CloudFormation::CustomResource"}
# Each type that is optional is in two of them, which differ in its parameters.
DEPLOYMENTS = (
    {"AlarmMailbox": "alarms@example.test"},
    {"Egress": "nat", "AvailabilityZones": "3", "AlarmMailbox": "others@example.test"},
    {"Egress": "nat", "DatabaseBackupDays": "35"},
)
# Suites in which what a deployment has made is used.
USING = re.compile(r"`tests/(?:e2e|local|contract)\b")


def list_types() -> list[str]:
    """Return the types of both templates after SAM's transform, sorted."""
    return sorted({each["Type"] for path in (TEMPLATE, DATABASE) for each in translate(path)["Resources"].values()})


@pytest.fixture(scope="module")
def deployments_of(tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """In how many deployments the emulator has made each type."""
    found: Counter[str] = Counter()
    with start_emulator(tmp_path_factory.mktemp("emulator")) as (clients, _):
        for given in DEPLOYMENTS:
            deploy_created(clients, **given)
            found.update(read_types(clients))
    return found


def read_types(clients: EmulatorClients) -> set[str]:
    """Return the types of the stack and of the one nested in it."""
    cloudformation = clients.get("cloudformation")
    own = cloudformation.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
    [nested] = [each["PhysicalResourceId"] for each in own if each["ResourceType"] == "AWS::CloudFormation::Stack"]
    both = own + cloudformation.describe_stack_resources(StackName=nested)["StackResources"]
    return {each["ResourceType"] for each in both}


def test_each_type_has_one_row() -> None:
    """The rows are in alphabetical order, and a type that is no longer used has none."""
    assert [kind for kind, _, _ in ROWS] == list_types()


def test_the_words_are_the_three_that_the_page_explains() -> None:
    """Another word would mean nothing to a reader."""
    assert {word for _, word, _ in ROWS} == {"run", "deployed", "linted"}


def test_what_is_called_deployed_was_deployed_twice(deployments_of: Counter[str]) -> None:
    """Conversely, nothing that the emulator makes is called linted only."""
    assert {kind for kind, word, _ in ROWS if word != "linted"} == deployments_of.keys() - NOT_ASKED_TO_DEPLOY
    assert {kind: times for kind, times in deployments_of.items() if times < 2} == {}


@pytest.mark.parametrize(("kind", "proof"), [(kind, proof) for kind, word, proof in ROWS if word == "run"])
def test_what_is_called_run_is_used_by_a_test(kind: str, proof: str) -> None:
    """By one that runs what was deployed, not by one that reads the template."""
    assert USING.search(proof), kind


@pytest.mark.parametrize(("kind", "proof"), [(kind, proof) for kind, _, proof in ROWS])
def test_the_proof_names_a_test(kind: str, proof: str) -> None:
    """The pages' own tests check that the test exists."""
    assert re.search(r"`tests/[\w/]+(\.py)?`", proof), kind
