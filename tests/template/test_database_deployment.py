"""The template with a database of its own, deployed to the emulator twice: the functions get what is made."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.deploy import BUCKET, STACK_NAME, EmulatorClients, deploy
from local.emulator import REGION
from local.template import list_dangling_references
from tests.local.emulators import start_emulator
from tests.template.translation import DATABASE, Json, load_template, translate

# What the emulator can't make. These types were checked by the linter and by the tests of the template alone.
UNKNOWN_TO_THE_EMULATOR = {
    "AWS::EC2::EIP",
    "AWS::EC2::NatGateway",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::RDS::DBProxy",
    "AWS::RDS::DBProxyTargetGroup",
}
# It would wait for the custom resource's answer, and forgets a role's ARN where a nested stack is updated. Roles and
# functions are made by it in the stack above.
LEFT_OUT = {"AWS::CloudFormation::CustomResource", "AWS::IAM::Role", "AWS::Lambda::Function"}
# Attributes of the proxy, which the emulator can't make, and of the cluster, whose attributes it forgets too.
STAND_INS = {
    "Host": "proxy.example.test",
    "ResourceId": "prx-0123456789abcdef0",
    "ProxyName": "proxy",
    "ClusterArn": "arn:cluster",
    "MainUserSecretArn": "arn:secret",
}
GIVEN = {
    "AllowedOrigins": "*",
    "MailSender": "no-reply@example.test",
    "DeskMailbox": "desk@example.test",
    "AppUrl": "https://app.example.test",
    "EventSources": "DISABLED",
}


def load_known_part() -> Json:
    """Return the nested template without what the emulator can't make, and with what would come of it.

    Its transform is done here: the emulator does only that of the stack above.
    """
    template = translate(DATABASE)
    left_out = UNKNOWN_TO_THE_EMULATOR | LEFT_OUT
    resources = {name: each for name, each in template["Resources"].items() if each["Type"] not in left_out}
    template["Resources"] = {name: each for name, each in resources.items() if not _refers_to_nothing(each, resources)}
    template["Outputs"] |= {name: {"Value": value} for name, value in STAND_INS.items()}
    return template


def _refers_to_nothing(resource: Json, resources: Json) -> bool:
    """Return whether a resource refers to one that is left out."""
    alone = {"Parameters": load_template(DATABASE)["Parameters"], "Resources": {"It": resource}}
    return list_dangling_references(alone) - set(resources) != set()


@dataclass(frozen=True)
class Deployed:
    """The resources that the emulator has after a deployment."""

    clients: EmulatorClients

    def resources(self, stack: str) -> dict[str, str]:
        """Return the physical ids of a stack's resources by logical id."""
        listed = self.clients.get("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed}

    def outputs(self, stack: str) -> dict[str, str]:
        """Return a stack's outputs."""
        [described] = self.clients.get("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}

    @property
    def nested(self) -> dict[str, str]:
        """The physical ids of the nested stack."""
        return self.resources(self.resources(STACK_NAME)["Database"])

    def cluster(self) -> Any:
        """Return the cluster as RDS describes it."""
        [cluster] = self.clients.get("rds").describe_db_clusters()["DBClusters"]
        return cluster


def deploy_created(clients: EmulatorClients, **given: str) -> Deployed:
    """Deploy the template with the known part of the nested one."""
    s3 = clients.get("s3")
    if BUCKET not in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=BUCKET, Key="database.json", Body=json.dumps(load_known_part()))
    template = load_template()
    template["Resources"]["Database"]["Properties"]["TemplateURL"] = f"{clients.endpoint}/{BUCKET}/database.json"
    deploy(clients, json.dumps(template), {**GIVEN, **given})
    return Deployed(clients)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorClients]:
    """Yield an emulator with nothing in it."""
    with start_emulator(tmp_path_factory.mktemp("emulator")) as (made, _):
        yield made


def test_a_stack_with_its_own_database_is_deployed_and_updated(clients: EmulatorClients) -> None:
    """First with the defaults, then with more: the cluster stays the one that it was, and the network grows."""
    first = deploy_created(clients)
    before, network = first.cluster(), first.nested
    assert (before["Engine"], before["DeletionProtection"], before["BackupRetentionPeriod"]) == (
        "aurora-postgresql",
        True,
        14,
    )
    assert len(before["DBClusterMembers"]) == 2

    second = deploy_created(clients, AvailabilityZones="3", DatabaseBackupDays="35", DatabaseMaxCapacity="8")
    after = second.cluster()
    assert (after["DBClusterIdentifier"], after["BackupRetentionPeriod"]) == (before["DBClusterIdentifier"], 35)
    assert second.nested.items() >= {name: network[name] for name in ("Vpc", "PrivateSubnetA", "Cluster")}.items()
    assert second.nested.keys() - network.keys() == {"PrivateSubnetC", "PrivateRoutesC", "PrivateRoutesOfC"}


def test_another_way_out_takes_the_place_of_the_endpoints(clients: EmulatorClients) -> None:
    """Egress=nat is deployed without the NAT gateways themselves, and then the endpoints again."""
    public = {"PublicRoutes", "PublicRoute", "PublicSubnetA", "PublicSubnetB", "PublicRoutesOfA", "PublicRoutesOfB"}
    gateways = public | {"InternetGateway", "InternetGatewayOfVpc"}
    endpoints = {"SqsEndpoint", "SesEndpoint", "CognitoEndpoint", "EndpointsSecurityGroup"}
    before = deploy_created(clients).nested.keys()
    after = deploy_created(clients, Egress="nat").nested.keys()

    assert (after - before, before - after) == (gateways, endpoints)
    assert deploy_created(clients).nested.keys() == before


def test_the_functions_are_told_its_host_and_the_stack_its_network(clients: EmulatorClients) -> None:
    """Across the border of the two stacks; the emulator does not say in which subnets a function is."""
    deployed = deploy_created(clients, AvailabilityZones="3")
    nested = deployed.nested
    name = deployed.resources(STACK_NAME)["ClaimsFunction"]
    function = clients.get("lambda").get_function_configuration(FunctionName=name)

    assert function["Environment"]["Variables"]["DB_HOST"] == STAND_INS["Host"]
    outputs = deployed.outputs(deployed.resources(STACK_NAME)["Database"])
    assert outputs["SubnetIds"] == ",".join(nested[f"PrivateSubnet{zone}"] for zone in "ABC")
    assert outputs["SecurityGroupId"] == nested["FunctionsSecurityGroup"]
    assert deployed.outputs(STACK_NAME)["DatabaseProxy"] == STAND_INS["ProxyName"]


def test_what_the_emulator_cannot_make_is_named() -> None:
    """The list keeps apart what was deployed and what was only linted."""
    left_out = {each["Type"] for each in translate(DATABASE)["Resources"].values()} - {
        each["Type"] for each in load_known_part()["Resources"].values()
    }
    assert left_out == UNKNOWN_TO_THE_EMULATOR | LEFT_OUT
