"""DatabaseMode: which database the functions have, and what each mode takes."""

from typing import Any

import pytest

from local.template import IntrinsicResolver
from tests.settings.test_defaults import PARAMETERS, REQUIRED
from tests.template.translation import Json, find_by_type, translate

EXISTING = {
    "DatabaseMode": "existing",
    "DatabaseHost": "proxy.example.test",
    "DatabaseResourceId": "prx-0123456789abcdef0",
    "SubnetIds": "subnet-1,subnet-2",
    "SecurityGroupIds": "sg-1",
}
OUTPUTS = {
    "Database.Outputs.Host": "made.example.test",
    "Database.Outputs.ResourceId": "prx-made",
    "Database.Outputs.SubnetIds": "subnet-a,subnet-b",
    "Database.Outputs.SecurityGroupId": "sg-made",
}
# Functions that CloudFormation knows in Rules; Fn::Join is not one of them.
IN_RULES = {
    "Ref", "Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals", "Fn::Contains", "Fn::EachMemberEquals", "Fn::EachMemberIn",
    "Fn::RefAll", "Fn::ValueOf", "Fn::ValueOfAll",
}  # fmt: skip


def list_values(given: dict[str, str]) -> dict[str, str]:
    """Return each parameter's value."""
    return {name: "given" if value is REQUIRED else str(value) for name, value in PARAMETERS.items()} | given


def resolve_resources(**given: str) -> Json:
    """Return the translated template's resources that are made, worked out; the nested stack's outputs are OUTPUTS."""
    template = translate()
    values = {**list_values(given), "AWS::StackName": "interdomestik"}
    resolver = IntrinsicResolver(values, OUTPUTS, template["Conditions"])
    return {
        name: resolver.resolve(resource)
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or resolver.is_condition_true(resource["Condition"])
    }


def list_connected_functions(resources: Json) -> dict[str, Json]:
    """Return the properties of the functions that connect."""
    found = find_by_type({"Resources": resources}, "AWS::Lambda::Function")
    return {name: each for name, each in found.items() if name != "PreTrafficFunction"}  # it reaches no database


def list_databases(resources: Json) -> set[str]:
    """Return the ids of the databases that roles may connect to."""
    statements = [
        statement
        for role in find_by_type({"Resources": resources}, "AWS::IAM::Role").values()
        for policy in role.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "rds-db:connect"
    ]
    return {each["Resource"].rpartition(":")[2].partition("/")[0] for each in statements}


def test_with_create_the_functions_have_the_database_that_is_made() -> None:
    """Its host and id, its subnets and its security group; what is passed to it are parameters."""
    resources = resolve_resources()

    assert resources["Database"]["Properties"]["Parameters"] == {
        "Name": "interdomestik",
        "AvailabilityZones": "2",
        "Egress": "endpoints",
        "MaxConnections": "50",
        "MinCapacity": "1",
        "MaxCapacity": "4",
        "BackupDays": "14",
        "DeletionProtection": "true",
        "LogRetentionDays": "90",
    }
    assert {each["Environment"]["Variables"]["DB_HOST"] for each in list_connected_functions(resources).values()} == {
        "made.example.test"
    }
    assert list_databases(resources) == {"prx-made"}
    for each in list_connected_functions(resources).values():
        assert each["VpcConfig"] == {
            "SubnetIds": {"Fn::Split": [",", "subnet-a,subnet-b"]},
            "SecurityGroupIds": ["sg-made"],
        }


def test_with_existing_the_functions_have_the_database_of_the_parameters() -> None:
    """The stack creates no database of its own."""
    resources = resolve_resources(**EXISTING)

    assert find_by_type({"Resources": resources}, "AWS::CloudFormation::Stack") == {}
    assert {each["Environment"]["Variables"]["DB_HOST"] for each in list_connected_functions(resources).values()} == {
        "proxy.example.test"
    }
    assert list_databases(resources) == {"prx-0123456789abcdef0"}
    for each in list_connected_functions(resources).values():
        assert each["VpcConfig"] == {"SubnetIds": "subnet-1,subnet-2", "SecurityGroupIds": "sg-1"}


def test_with_existing_and_without_subnets_the_functions_are_in_no_network() -> None:
    """A database with a public address needs none, nor does the local cloud."""
    resources = resolve_resources(**EXISTING | {"SubnetIds": "", "SecurityGroupIds": ""})
    assert [name for name, each in list_connected_functions(resources).items() if "VpcConfig" in each] == []


@pytest.mark.parametrize("auth", ["iam", "password", "trust"])
def test_no_policy_is_left_without_a_statement(auth: str) -> None:
    """IAM refuses such a policy, and with it the deployment."""
    roles = find_by_type({"Resources": resolve_resources(**EXISTING | {"DatabaseAuth": auth})}, "AWS::IAM::Role")
    policies = [policy for role in roles.values() for policy in role.get("Policies", [])]

    assert policies
    assert [each["PolicyName"] for each in policies if not each["PolicyDocument"]["Statement"]] == []


def test_outputs_of_what_is_made_are_there_only_then() -> None:
    """A condition on each, or a stack with a database of its own would fail."""
    outputs = translate()["Outputs"]
    of_database = {name for name, each in outputs.items() if "'Database'" in str(each["Value"])}

    assert of_database == {"DatabaseProxy", "DatabaseCluster", "DatabaseMainUserSecret"}
    assert {outputs[name]["Condition"] for name in of_database} == {"CreatesDatabase"}


# ---- what is refused before anything is made


def list_refusals(**given: str) -> list[str]:
    """Return what the template's rules say of these parameters."""
    template = translate()
    truth = IntrinsicResolver(list_values(given), {}, template["Conditions"])._evaluate_condition
    return [
        assertion["AssertDescription"]
        for rule in template["Rules"].values()
        if truth(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not truth(assertion["Assert"])
    ]


def test_an_operator_who_knows_only_the_required_parameters_can_deploy() -> None:
    """Everything else has a default that fits the others."""
    assert list_refusals() == []
    assert list_refusals(**EXISTING) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"DatabaseHost": "db.example.test"}, "DatabaseMode=existing"),
        ({"DatabaseResourceId": "prx-1"}, "DatabaseMode=existing"),
        ({"DatabaseSecretArn": "arn:a"}, "DatabaseMode=existing"),
        ({"DatabaseOwnerSecretArn": "arn:a"}, "DatabaseMode=existing"),
        ({"DatabasePort": "6432"}, "at their defaults"),
        ({"DatabaseName": "other"}, "at their defaults"),
        ({"DatabaseOwner": "other"}, "at their defaults"),
        ({"DatabaseAuth": "trust"}, "at their defaults"),
        ({"DatabaseSslMode": "prefer"}, "at their defaults"),
        ({"DatabaseSslRootCert": "rds"}, "at their defaults"),
        ({**EXISTING, "DatabaseHost": ""}, "existing needs DatabaseHost"),
        ({**EXISTING, "DatabaseResourceId": ""}, "iam needs DatabaseResourceId"),
        ({**EXISTING, "DatabaseAuth": "password", "DatabaseSecretArn": "arn:a"}, "needs DatabaseOwnerSecretArn"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(given: dict[str, str], said: str) -> None:
    """A stack from before DatabaseMode passes its host, and would otherwise get an empty database beside its own."""
    [message] = list_refusals(**given)
    assert said in message


def test_the_rules_use_no_function_that_cloudformation_lacks_there() -> None:
    """The linter lets others through, and the deployment fails."""
    assert set(_functions_in(translate()["Rules"])) <= IN_RULES


def _functions_in(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _functions_in(item)]
    if isinstance(value, dict):
        own = [key for key in value if key == "Ref" or key.startswith("Fn::")]
        return own + [name for item in value.values() for name in _functions_in(item)]
    return []
