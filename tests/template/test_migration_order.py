"""In a deployment the schema is migrated by the new release's code before anything that serves is changed.

CloudFormation makes and updates a resource after all that it refers to, and after what it names in DependsOn.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from local.template import list_references
from tests.template.translation import Json, find_by_type, translate

MIGRATION = "Migration"
OWN = "MigrationFunction"
HOOK = "PreTrafficFunction"  # it serves nobody, and is called after the migration
# What decides which code is called.
SERVING = (
    "AWS::Lambda::Function",
    "AWS::Lambda::Version",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Permission",
    "AWS::Events::Rule",
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::Stage",
)


def list_direct(resource: Mapping[str, Any]) -> set[str]:
    """Return the names after which a resource comes by itself."""
    depends = resource.get("DependsOn", [])
    return {*list_references(resource.get("Properties", {})), *([depends] if isinstance(depends, str) else depends)}


def list_before(template: Json, name: str) -> set[str]:
    """Return the resources that are made or updated before one."""
    resources, found, waiting = template["Resources"], set[str](), [name]
    while waiting:
        new = (list_direct(resources[waiting.pop()]) & resources.keys()) - found
        found |= new
        waiting += new
    return found


def list_too_early(template: Json) -> list[str]:
    """Return the resources that serve and may be changed before the schema is migrated."""
    serving = {
        name: each
        for name, each in template["Resources"].items()
        if each["Type"] in SERVING and not name.startswith(OWN)
    }
    return sorted(name for name in serving if MIGRATION not in list_before(template, name))


def test_everything_that_serves_comes_after_the_migration() -> None:
    """Functions, versions, aliases, mappings, schedules, and the API's deployment."""
    template = translate()
    assert list_too_early(template) == []
    aliases = find_by_type(template, "AWS::Lambda::Alias")
    assert len(aliases) - 1 == len([name for name in aliases if MIGRATION in list_before(template, name)])
    assert len(find_by_type(template, "AWS::Lambda::EventSourceMapping")) == 4


def test_the_function_that_migrates_is_the_new_one_and_waits_for_no_other() -> None:
    """Its alias waits for the new version, and for the database if the stack makes it."""
    template = translate()
    before = list_before(template, MIGRATION)
    assert {each for each in before if template["Resources"][each]["Type"] == "AWS::Lambda::Function"} == {OWN}
    assert f"{OWN}Aliaslive" in before
    assert "Database" in before
    assert MIGRATION not in before


def test_the_migrating_function_is_called_by_an_alias_and_again_for_each_version() -> None:
    """CloudFormation refuses another ServiceToken, and calls for another property only."""
    template = translate()
    properties = find_by_type(template, "AWS::CloudFormation::CustomResource")[MIGRATION]
    [version] = [name for name in find_by_type(template, "AWS::Lambda::Version") if name.startswith(OWN)]
    assert properties["ServiceToken"] == {"Ref": f"{OWN}Aliaslive"}
    assert properties["Version"] == {"Ref": version}


def test_cloudformation_waits_longer_than_the_function_may_take() -> None:
    """Without a limit it would wait for an hour."""
    template = translate()
    timeout = find_by_type(template, "AWS::Lambda::Function")[OWN]["Timeout"]
    assert timeout < find_by_type(template, "AWS::CloudFormation::CustomResource")[MIGRATION]["ServiceTimeout"] <= 960


@pytest.mark.parametrize("name", sorted(set(find_by_type(translate(), "AWS::Lambda::Function")) - {OWN, HOOK}))
def test_a_function_that_does_not_wait_is_found(name: str) -> None:
    """Its alias is found with it."""
    template = translate()
    del template["Resources"][name]["DependsOn"]
    assert {name, f"{name}Aliaslive"} <= set(list_too_early(template))
