"""Each number and switch of the nested template is stated here once; another is a decision (docs/decisions/0050)."""

import pytest

from tests.settings.deployed import Value, list_template_values, load_database_template

VALUES: dict[str, Value] = {
    "Vpc/EnableDnsSupport": True,
    "Vpc/EnableDnsHostnames": True,
    **{
        f"{kind}Subnet{zone}/AvailabilityZone/Fn::Select/0": n
        for kind in ("Private", "Public")
        for n, zone in enumerate("ABC")
    },
    **{f"{name}Endpoint/PrivateDnsEnabled": True for name in ("Sqs", "Ses", "Cognito")},
    # ---- who may talk to whom: HTTPS to the services, PostgreSQL's port to the proxy and the cluster, nothing else
    **{f"FunctionsSecurityGroup/SecurityGroupEgress/0/{port}": 443 for port in ("FromPort", "ToPort")},
    **{f"EndpointsSecurityGroup/SecurityGroupIngress/0/{port}": 443 for port in ("FromPort", "ToPort")},
    **{
        f"{name}SecurityGroup/SecurityGroupEgress/0/{port}": 65535
        for name in ("Proxy", "Cluster", "Endpoints")
        for port in ("FromPort", "ToPort")
    },
    **{
        f"{name}/{port}": 5432
        for name in ("FunctionsToProxy", "ProxyFromFunctions", "ProxyToCluster", "ClusterFromProxy")
        for port in ("FromPort", "ToPort")
    },
    # ---- the cluster
    "Cluster/Port": 5432,
    "Cluster/ManageMasterUserPassword": True,
    "Cluster/EnableIAMDatabaseAuthentication": True,
    "Cluster/EnableHttpEndpoint": True,
    "Cluster/StorageEncrypted": True,
    "Cluster/CopyTagsToSnapshot": True,
    "Cluster/PerformanceInsightsEnabled": True,
    "Cluster/PerformanceInsightsRetentionPeriod": 7,  # what Database Insights' standard mode keeps at no charge
    "FirstInstance/AvailabilityZone/Fn::Select/0": 0,
    "FirstInstance/PromotionTier": 0,
    "SecondInstance/AvailabilityZone/Fn::Select/0": 1,
    "SecondInstance/PromotionTier": 1,
    **{f"{name}Instance/PubliclyAccessible": False for name in ("First", "Second")},
    **{f"{name}Instance/AutoMinorVersionUpgrade": True for name in ("First", "Second")},
    # ---- the proxy
    "Proxy/RequireTLS": True,
    "Proxy/IdleClientTimeout": 1800,
    "Proxy/DebugLogging": False,
    "ProxyTargets/ConnectionPoolConfigurationInfo/MaxConnectionsPercent": 10,
    "ProxyTargets/ConnectionPoolConfigurationInfo/MaxIdleConnectionsPercent": 5,
    "ProxyTargets/ConnectionPoolConfigurationInfo/ConnectionBorrowTimeout": 10,
    # ---- the owner
    "SetupFunction/MemorySize": 256,
    "SetupFunction/Timeout": 180,
    "Setup/ServiceTimeout": 200,
}


def _differences(found: dict[str, Value]) -> dict[str, tuple[Value | None, Value | None]]:
    places = {place for place in {*found, *VALUES} if repr(found.get(place)) != repr(VALUES.get(place))}
    return {place: (found.get(place), VALUES.get(place)) for place in sorted(places)}


def test_every_value_of_the_nested_template_is_the_one_decided_on() -> None:
    """A number or switch that is new, gone or another: state it in VALUES too, with its reason."""
    assert _differences(list_template_values(load_database_template())) == {}


@pytest.mark.parametrize("place", VALUES)
def test_a_change_of_any_value_is_seen(place: str) -> None:
    """A hundredfold, or the opposite; and only that one is named."""
    value = VALUES[place]
    other: Value = not value if isinstance(value, bool) else int(value) * 100 + 1
    assert list(_differences(VALUES | {place: other})) == [place]
