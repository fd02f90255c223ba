"""The network, the database and the proxy that DatabaseMode `create` makes: safe, closed, and sized by one number."""

import ast
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local.database_proxy.proxy import BORROW_TIMEOUT_S
from local.template import IntrinsicResolver, list_references
from tests.roles import LIMITED
from tests.services import ROOT
from tests.template.translation import DATABASE, REGION, Json, find_by_type, load_template, translate

GIVEN = {
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
PRIVATE = {"2": ["PrivateSubnetA", "PrivateSubnetB"], "3": ["PrivateSubnetA", "PrivateSubnetB", "PrivateSubnetC"]}
# The service that an interface or gateway endpoint is for, by boto3's name of it.
ENDPOINTS = {"sqs": "sqs", "sesv2": "email", "cognito-idp": "cognito-idp", "s3": "s3", "dynamodb": "dynamodb"}
SIGNS_ONLY = {"rds"}  # generate_db_auth_token makes no call
ANYWHERE = "0.0.0.0/0"


def resolve_resources(**given: str) -> dict[str, Json]:
    """Return the resources that are made with these parameters, their conditions and parameters worked out."""
    template = translate(DATABASE)
    values = {**GIVEN, **given}
    resolver = IntrinsicResolver(values=values, attributes={}, conditions=template["Conditions"])
    return {
        name: resolver.resolve(resource)
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or resolver.is_condition_true(resource["Condition"])
    }


def find_properties(name: str, **given: str) -> Json:
    """Return the properties of one resource."""
    found: Json = resolve_resources(**given)[name]["Properties"]
    return found


def find_made_of_type(kind: str, **given: str) -> dict[str, Json]:
    """Return the properties of the resources of one type that are made."""
    return {name: each["Properties"] for name, each in resolve_resources(**given).items() if each["Type"] == kind}


def read_refs(values: list[Json]) -> list[str]:
    """Return the logical ids of a list of Refs."""
    return [each["Ref"] for each in values]


# ---- what is kept


def test_the_clusters_data_survives_the_resource() -> None:
    """A final snapshot is taken where the cluster is deleted or replaced; the instances hold no data."""
    template = translate(DATABASE)
    policies = {
        name: (each.get("DeletionPolicy"), each.get("UpdateReplacePolicy"))
        for name, each in template["Resources"].items()
        if each["Type"].startswith(("AWS::RDS::DBCluster", "AWS::RDS::DBInstance", "AWS::Logs::"))
        and each["Type"] != "AWS::RDS::DBClusterParameterGroup"
    }

    assert policies == {
        "Cluster": ("Snapshot", "Snapshot"),
        "FirstInstance": ("Delete", "Delete"),
        "SecondInstance": ("Delete", "Delete"),
        "SetupLogs": ("Retain", "Retain"),
    }


def test_the_nested_stack_is_kept_when_the_stack_goes_or_turns_to_another_database() -> None:
    """Its network with it, since the cluster is in it. Only a first deployment that fails takes it back."""
    [nested] = [r for r in translate()["Resources"].values() if r["Type"] == "AWS::CloudFormation::Stack"]

    assert (nested["DeletionPolicy"], nested["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert nested["Condition"] == "CreatesDatabase"


@pytest.mark.parametrize("path", ["template.yaml", "templates/database.yaml"])
def test_no_stateful_resource_is_left_to_a_default(path: str) -> None:
    """The linter lists the types that hold data: each states what becomes of it (I3011)."""
    text = (ROOT / path).read_text(encoding="utf-8")
    found = lint(text, config=ManualArgs(regions=[REGION], include_checks=["I3011"]))
    stateless = {
        "DeadLetterHigh",
        "QueueHigh",
        "DeadLetterNormal",
        "QueueNormal",
        "DeadLetterLow",
        "QueueLow",
        "NudgeQueue",
    }

    named = {str(match.path[1]) for match in found if match.rule.id == "I3011"}
    # The outbox sends again what a queue loses; a secret's new value is a new secret, of no use to anybody else.
    assert named - stateless <= {"CursorSecret", "AddressSecret"}


def test_the_cluster_refuses_to_be_deleted_unless_told_otherwise() -> None:
    """The default protects it, `prod` and `staging` do too; only the environment for trials does not."""
    assert load_template()["Parameters"]["DatabaseDeletionProtection"]["Default"] == "true"
    assert find_properties("Cluster")["DeletionProtection"] == "true"
    assert find_properties("Cluster", DeletionProtection="false")["DeletionProtection"] == "false"


def test_no_parameter_can_replace_the_cluster() -> None:
    """Another value of a property that is fixed at the creation would make another, empty cluster."""
    assert sorted(set(_fixed_at_creation("Cluster"))) == []


def _fixed_at_creation(name: str) -> Iterator[str]:
    """Yield the parameters that decide a resource's create-only properties, also through other resources' ids."""
    resource = load_template(DATABASE)["Resources"][name]
    for key in _create_only(resource["Type"]):
        yield from _parameters_in(resource["Properties"].get(key, ""))


def _parameters_in(value: Any) -> Iterator[str]:
    template = load_template(DATABASE)
    for name in list_references([value]):
        if name in template["Parameters"]:
            yield name
        elif name in template["Resources"]:
            yield from _fixed_at_creation(name)


@cache
def _create_only(kind: str) -> list[str]:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    return [path.split("/")[2] for path in schema.get("createOnlyProperties", [])]


def test_the_cluster_can_be_restored_and_is_encrypted() -> None:
    """It can be restored to any second of the days that the parameter says."""
    cluster = find_properties("Cluster", BackupDays="35")

    assert cluster["BackupRetentionPeriod"] == "35"
    assert (cluster["StorageEncrypted"], cluster["CopyTagsToSnapshot"]) == (True, True)
    assert (cluster["Engine"], cluster["EngineVersion"]) == ("aurora-postgresql", "17")
    assert cluster["PerformanceInsightsEnabled"] is True


def test_the_servers_log_with_its_quoted_rows_is_not_copied() -> None:
    """Messages about constraints quote addresses, and the copy would live longer than the instances' three days."""
    assert "EnableCloudwatchLogsExports" not in find_properties("Cluster")
    assert find_properties("Proxy")["DebugLogging"] is False


# ---- the standby


@pytest.mark.parametrize("zones", ["2", "3"])
def test_a_standby_in_another_zone_is_ready_to_write(zones: str) -> None:
    """Two instances of the cluster; both tiers grow and shrink with the writer."""
    instances = find_made_of_type("AWS::RDS::DBInstance", AvailabilityZones=zones)

    assert {each["DBClusterIdentifier"]["Ref"] for each in instances.values()} == {"Cluster"}
    assert {each["DBInstanceClass"] for each in instances.values()} == {"db.serverless"}
    assert sorted(each["AvailabilityZone"]["Fn::Select"][0] for each in instances.values()) == [0, 1]
    assert {each["PromotionTier"] for each in instances.values()} <= {0, 1}
    assert {each["PubliclyAccessible"] for each in instances.values()} == {False}


# ---- the proxy: its size, TLS, IAM


@pytest.mark.parametrize("connections", ["1", "7", "50", "1000"])
@pytest.mark.parametrize("capacity", ["1", "4", "256"])
def test_the_pool_is_exactly_the_connections_of_the_parameter(connections: str, capacity: str) -> None:
    """This holds at any capacity: max_connections is stated, and the pool is a share of it."""
    given = {"MaxConnections": connections, "MaxCapacity": capacity}
    [targets] = find_made_of_type("AWS::RDS::DBProxyTargetGroup", **given).values()
    pool = targets["ConnectionPoolConfigurationInfo"]
    most = int(find_properties("InstanceParameters", **given)["Parameters"]["max_connections"])

    assert most * pool["MaxConnectionsPercent"] / 100 == int(connections)
    assert pool["MaxIdleConnectionsPercent"] == pool["MaxConnectionsPercent"] // 2
    groups = {each["DBParameterGroupName"]["Ref"] for each in find_made_of_type("AWS::RDS::DBInstance").values()}
    assert groups == {"InstanceParameters"}  # whichever of the two is the writer
    assert most - int(connections) >= 9  # what is left is for the owner, a person and PostgreSQL itself


def test_the_template_passes_the_fleets_number_to_the_pool() -> None:
    """The one that the functions are told, and the migrate command sets as the roles' limit."""
    [nested] = find_by_type(translate(), "AWS::CloudFormation::Stack").values()
    assert nested["Parameters"]["MaxConnections"] == {"Ref": "DatabaseMaxConnections"}


def test_a_call_that_waits_in_vain_for_a_connection_gets_an_answer_in_time() -> None:
    """It waits as long as at the stand-in; a connection that a function still keeps is not closed."""
    [targets] = find_made_of_type("AWS::RDS::DBProxyTargetGroup").values()
    idle = load_template()["Parameters"]["DatabaseIdleTimeout"]["MaxValue"]

    assert targets["ConnectionPoolConfigurationInfo"]["ConnectionBorrowTimeout"] == BORROW_TIMEOUT_S
    assert find_properties("Proxy")["IdleClientTimeout"] > idle


def test_nothing_is_let_in_without_tls_or_by_a_password() -> None:
    """This holds at the proxy and behind it."""
    proxy, cluster = find_properties("Proxy"), find_properties("Cluster")

    assert (proxy["RequireTLS"], proxy["DefaultAuthScheme"], proxy.get("Auth")) == (True, "IAM_AUTH", None)
    assert cluster["EnableIAMDatabaseAuthentication"] is True
    assert cluster["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in cluster
    assert cluster["DBClusterParameterGroupName"] == {"Ref": "ClusterParameters"}
    assert find_properties("ClusterParameters")["Parameters"]["rds.force_ssl"] == "1"


def test_the_proxy_connects_as_the_owner_and_the_functions_roles_alone() -> None:
    """It never connects as the main user, who may do everything."""
    [statement] = find_properties("ProxyRole")["Policies"][0]["PolicyDocument"]["Statement"]
    users = [each.rpartition("/")[2] for each in statement["Resource"]]

    assert (statement["Action"], users) == ("rds-db:connect", ["interdomestik", "interdomestik_*"])
    assert [role for role in LIMITED if not role.startswith("interdomestik_")] == []
    assert not find_properties("Cluster")["MasterUsername"].startswith("interdomestik")


# ---- who may talk to whom


def _list_traffic(direction: str, **given: str) -> set[tuple[str, str, int, int]]:
    """Return (group, the other end, first port, last port) of each rule for traffic in or out."""
    other = "Source" if direction == "Ingress" else "Destination"
    found = set()
    for name, group in find_made_of_type("AWS::EC2::SecurityGroup", **given).items():
        for rule in group.get(f"SecurityGroup{direction}", []):
            found.add((name, *_read_ends(rule, other)))
    for rule in find_made_of_type(f"AWS::EC2::SecurityGroup{direction}", **given).values():
        found.add((rule["GroupId"]["Ref"], *_read_ends(rule, other)))
    return found


def _read_ends(rule: Mapping[str, Any], other: str) -> tuple[str, int, int]:
    assert rule["IpProtocol"] == "tcp"
    group = rule.get(f"{other}SecurityGroupId", {}).get("Ref")
    return group or rule["CidrIp"], rule["FromPort"], rule["ToPort"]


IN = {
    ("ProxySecurityGroup", "FunctionsSecurityGroup", 5432, 5432),
    ("ClusterSecurityGroup", "ProxySecurityGroup", 5432, 5432),
}
NOWHERE = ("127.0.0.1/32", 65535, 65535)
OUT = {
    ("FunctionsSecurityGroup", ANYWHERE, 443, 443),
    ("FunctionsSecurityGroup", "ProxySecurityGroup", 5432, 5432),
    ("ProxySecurityGroup", "ClusterSecurityGroup", 5432, 5432),
    ("ProxySecurityGroup", *NOWHERE),
    ("ClusterSecurityGroup", *NOWHERE),
}


def test_each_is_reached_by_the_one_before_it_on_its_port_alone() -> None:
    """Functions, proxy, cluster; and the endpoints by the functions."""
    endpoints = ("EndpointsSecurityGroup", "FunctionsSecurityGroup", 443, 443)
    assert _list_traffic("Ingress") == IN | {endpoints}
    assert _list_traffic("Ingress", Egress="nat") == IN


def test_each_reaches_the_one_after_it_and_nothing_else() -> None:
    """A group without such a rule would be given one that allows everything."""
    assert _list_traffic("Egress", Egress="nat") == OUT
    assert _list_traffic("Egress") == OUT | {("EndpointsSecurityGroup", *NOWHERE)}


def test_each_is_in_the_group_that_is_named_after_it() -> None:
    """Otherwise the rules would be about nothing."""
    assert find_properties("Proxy")["VpcSecurityGroupIds"] == [{"Ref": "ProxySecurityGroup"}]
    assert find_properties("Cluster")["VpcSecurityGroupIds"] == [{"Ref": "ClusterSecurityGroup"}]
    assert load_template(DATABASE)["Outputs"]["SecurityGroupId"]["Value"] == {"Ref": "FunctionsSecurityGroup"}


# ---- the network


@pytest.mark.parametrize("zones", ["2", "3"])
def test_the_private_subnets_are_in_as_many_zones_and_everything_is_in_them(zones: str) -> None:
    """The cluster, the proxy, the endpoints, and by the output the functions."""
    subnets, wanted = find_made_of_type("AWS::EC2::Subnet", AvailabilityZones=zones), PRIVATE[zones]
    endpoints = find_made_of_type("AWS::EC2::VPCEndpoint", AvailabilityZones=zones).values()

    assert sorted(subnets) == wanted
    assert [subnets[name]["AvailabilityZone"]["Fn::Select"][0] for name in wanted] == list(range(int(zones)))
    assert read_refs(find_properties("ClusterSubnets", AvailabilityZones=zones)["SubnetIds"]) == wanted
    assert read_refs(find_properties("Proxy", AvailabilityZones=zones)["VpcSubnetIds"]) == wanted
    assert [read_refs(each["SubnetIds"]) for each in endpoints if "SubnetIds" in each] == [wanted] * 3
    template = load_template(DATABASE)
    resolver = IntrinsicResolver({**GIVEN, "AvailabilityZones": zones}, {}, template["Conditions"])
    [_, outside] = template["Outputs"]["SubnetIds"]["Value"]["Fn::Join"]
    assert read_refs(resolver.resolve(outside)) == wanted


def test_the_proxy_that_other_subnets_replace_has_another_name() -> None:
    """Its subnets are fixed at its creation, and the new one is made before the old one goes."""
    names = {find_properties("Proxy", AvailabilityZones=zones)["DBProxyName"] for zones in ("2", "3")}
    assert names == {"interdomestik-2az", "interdomestik-3az"}


def list_called_services() -> set[str]:
    """Return the services that the functions' boto3 clients are built for."""
    tree = ast.parse((ROOT / "layers/shared/shared/aws/clients.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    return {
        str(call.args[0].value)
        for call in calls
        if ast.unparse(call.func) in {"_build_client", "boto3.client"} and isinstance(call.args[0], ast.Constant)
    }


def test_without_nat_each_service_that_is_called_has_an_endpoint() -> None:
    """A call to another one would wait in vain; and an endpoint that nobody calls would cost all the same."""
    services = {
        each["ServiceName"].rpartition(".")[2]: each["VpcEndpointType"]
        for each in find_made_of_type("AWS::EC2::VPCEndpoint").values()
    }
    called = {ENDPOINTS[service] for service in list_called_services() - SIGNS_ONLY}

    assert services == {name: "Gateway" if name in {"s3", "dynamodb"} else "Interface" for name in called}


def test_an_interface_endpoint_answers_under_the_services_own_name() -> None:
    """boto3 asks for that one; the network has to take part in names."""
    interfaces = [e for e in find_made_of_type("AWS::EC2::VPCEndpoint").values() if e["VpcEndpointType"] == "Interface"]

    assert [each["PrivateDnsEnabled"] for each in interfaces] == [True] * 3
    assert (find_properties("Vpc")["EnableDnsSupport"], find_properties("Vpc")["EnableDnsHostnames"]) == (True, True)


def test_with_endpoints_there_is_no_way_to_or_from_the_internet() -> None:
    """No gateway and no route."""
    resources = resolve_resources(Egress="endpoints").values()
    assert {each["Type"] for each in resources} & {
        "AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route", "AWS::EC2::EIP",
    } == set()  # fmt: skip


@pytest.mark.parametrize("zones", ["2", "3"])
def test_with_nat_each_zone_goes_out_by_its_own_gateway(zones: str) -> None:
    """A lost zone then takes no other along; gateway endpoints stay, since they cost nothing."""
    given = {"Egress": "nat", "AvailabilityZones": zones}
    routes = find_made_of_type("AWS::EC2::Route", **given).values()
    ways = {each["RouteTableId"]["Ref"]: each["NatGatewayId"]["Ref"] for each in routes if "NatGatewayId" in each}
    found = find_made_of_type("AWS::EC2::NatGateway", **given)
    gateways = {name: each["SubnetId"]["Ref"] for name, each in found.items()}
    letters = "ABC"[: int(zones)]

    assert ways == {f"PrivateRoutes{letter}": f"Nat{letter}" for letter in letters}
    assert gateways == {f"Nat{letter}": f"PublicSubnet{letter}" for letter in letters}
    assert [r["RouteTableId"]["Ref"] for r in routes if "GatewayId" in r] == ["PublicRoutes"]
    endpoints = find_made_of_type("AWS::EC2::VPCEndpoint", **given).values()
    assert {each["VpcEndpointType"] for each in endpoints} == {"Gateway"}


@pytest.mark.parametrize("zones", ["2", "3"])
def test_each_subnet_has_the_routes_of_its_zone(zones: str) -> None:
    """A subnet without a table of its own would have the network's, without the endpoints."""
    given = {"Egress": "nat", "AvailabilityZones": zones}
    tables = {
        each["SubnetId"]["Ref"]: each["RouteTableId"]["Ref"]
        for each in find_made_of_type("AWS::EC2::SubnetRouteTableAssociation", **given).values()
    }
    letters = "ABC"[: int(zones)]

    assert tables == {f"PrivateSubnet{x}": f"PrivateRoutes{x}" for x in letters} | {
        f"PublicSubnet{x}": "PublicRoutes" for x in letters
    }
    for endpoint in ("S3Endpoint", "DynamoDbEndpoint"):
        assert read_refs(find_properties(endpoint, **given)["RouteTableIds"]) == [f"PrivateRoutes{x}" for x in letters]


# ---- the owner of the schema


def test_the_owner_is_made_once_the_cluster_can_be_asked() -> None:
    """It is made before the stack's functions, since these wait for the nested stack's outputs."""
    setup = resolve_resources()["Setup"]

    assert setup["DependsOn"] == "FirstInstance"
    assert setup["Properties"]["Database"] == find_properties("Cluster")["DatabaseName"]
    assert find_properties("Cluster")["EnableHttpEndpoint"] is True
    assert setup["Properties"]["ServiceTimeout"] > find_properties("SetupFunction")["Timeout"]


def test_the_setup_may_run_statements_as_the_main_user_and_nothing_else() -> None:
    """Its right is for this cluster, with this secret."""
    [policy] = find_properties("SetupFunctionRole")["Policies"]
    may = {s["Action"]: s["Resource"]["Fn::GetAtt"] for s in policy["PolicyDocument"]["Statement"]}

    assert may == {
        "rds-data:ExecuteStatement": ["Cluster", "DBClusterArn"],
        "secretsmanager:GetSecretValue": ["Cluster", "MasterUserSecret.SecretArn"],
    }
    managed = find_properties("SetupFunctionRole")["ManagedPolicyArns"]
    assert [arn.split(":policy/")[1] for arn in managed] == ["service-role/AWSLambdaBasicExecutionRole"]


def test_what_the_transform_makes_of_it_is_clean_for_the_linter() -> None:
    """cfn-lint over the translated template."""
    assert [str(match) for match in lint(json.dumps(translate(DATABASE)), config=ManualArgs(regions=[REGION]))] == []
