"""Each parameter and each setting has the default that was decided on, and reaches who reads it."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from local.postgres import OWNER
from shared.circuit.state import CircuitPolicy
from shared.retry.backoff import Backoff
from shared.settings import DEFAULT_CIRCUITS, DEFAULT_LIMITS, TIME_ZONES, Settings
from tests.packages import PACKAGES
from tests.roles import FUNCTIONS
from tests.settings.deployed import load_template

REQUIRED = object()  # a parameter without a default: whoever deploys says it
PARAMETERS: dict[str, Any] = {
    "Architecture": "arm64",
    "AllowedOrigins": REQUIRED,
    "DatabaseMode": "create",
    "AvailabilityZones": 2,
    "Egress": "endpoints",
    "DatabaseMinCapacity": 1,
    "DatabaseMaxCapacity": 4,
    "DatabaseBackupDays": 14,
    "DatabaseDeletionProtection": "true",
    "DatabaseHost": "",
    "DatabasePort": 5432,
    "DatabaseName": "interdomestik",
    "DatabaseUser": "own",
    "DatabaseOwner": "interdomestik",
    "DatabaseAuth": "iam",
    "DatabaseSslMode": "verify-full",
    "DatabaseSslRootCert": "rds-proxy",
    "DatabasePipeline": "on",
    "DatabaseResourceId": "",
    "DatabaseSecretArn": "",
    "DatabaseOwnerSecretArn": "",
    "DatabaseMaxConnections": 50,
    "DatabaseConnectTimeout": 10,
    "DatabaseIdleTimeout": 20,
    "DatabaseMaxLifetime": 3600,
    "MailSender": REQUIRED,
    "MailRate": 1,  # SES's sandbox
    "MailBurst": 4,
    "MailIdentity": "",
    "DeskMailbox": REQUIRED,
    "DeskLanguage": "sq",
    "AppUrl": REQUIRED,
    "Country": "XK",
    "Limits": "{}",  # those of the code
    "Circuits": "{}",
    "Retry": "{}",
    "EventSources": "ENABLED",
    "DeploymentPreference": "Canary10Percent10Minutes",
    "ServiceVersion": "dev",
    "LogLevel": "INFO",
    "LogRetentionDays": 90,
    "AlarmMailbox": "",
    "WakeMailbox": "",
    "ReservedConcurrency": 891,
    "SubnetIds": "",
    "SecurityGroupIds": "",
}
VARIABLES = {
    "SERVICE_VERSION": "ServiceVersion",
    "DB_HOST": "DatabaseHost",
    "DB_PORT": "DatabasePort",
    "DB_NAME": "DatabaseName",
    "DB_AUTH": "DatabaseAuth",
    "DB_SSLMODE": "DatabaseSslMode",
    "DB_SSLROOTCERT": "DatabaseSslRootCert",
    "DB_PIPELINE": "DatabasePipeline",
    "DB_MAX_CONNECTIONS": "DatabaseMaxConnections",
    "DB_CONNECT_TIMEOUT": "DatabaseConnectTimeout",
    "DB_IDLE_TIMEOUT": "DatabaseIdleTimeout",
    "DB_MAX_LIFETIME": "DatabaseMaxLifetime",
    "STATE_TABLE": "StateTable",
    "QUEUE_HIGH_URL": "QueueHigh",
    "QUEUE_NORMAL_URL": "QueueNormal",
    "QUEUE_LOW_URL": "QueueLow",
    "NUDGE_QUEUE_URL": "NudgeQueue",
    "EVIDENCE_BUCKET": "EvidenceBucket",
    "USER_POOL_ID": "UserPool",
    "USER_POOL_CLIENT_ID": "UserPoolClient",
    "MAIL_SENDER": "MailSender",
    "MAIL_RATE": "MailRate",
    "MAIL_BURST": "MailBurst",
    "DESK_MAILBOX": "DeskMailbox",
    "DESK_LANGUAGE": "DeskLanguage",
    "APP_URL": "AppUrl",
    "ALLOWED_ORIGINS": "AllowedOrigins",
    "COUNTRY": "Country",
    "LIMITS": "Limits",
    "CIRCUITS": "Circuits",
    "RETRY": "Retry",
    "LOG_LEVEL": "LogLevel",
    "STACK_NAME": "AWS::StackName",
}
# Settings that a parameter decides: without an environment the code must not mean another number.
SAME_DEFAULT = (
    "db_port",
    "db_name",
    "db_auth",
    "db_sslmode",
    "db_sslrootcert",
    "db_pipeline",
    "db_max_connections",
    "db_connect_timeout",
    "db_idle_timeout",
    "db_max_lifetime",
    "mail_rate",
    "mail_burst",
    "country",
    "service_version",
)
LIMITS = {
    "agent-application": (5, 60),
    "member-registration": (5, 60),
    "agent-registration": (20, 60),
    "claim-submission": (5, 600),
    "claim-work": (60, 60),
    "membership-change": (10, 60),
    "document-upload": (10, 60),
    "read": (60, 60),
    "health-deep": (10, 60),
    "invalid-request": (20, 60),
}
_ALIKE = {"failures": 5, "successes_per_failure": 2, "window_s": 600, "refresh_s": 1, "blind_s": 60}
CIRCUITS: dict[str, dict[str, Any]] = {
    "email": {"open_s": 60, "slow_s": 5, "probe_lease_s": 20, **_ALIKE},
    "identity": {"open_s": 30, "slow_s": 5, "probe_lease_s": 60, **_ALIKE},
    "storage": {"open_s": 30, "slow_s": 2, "probe_lease_s": 15, **_ALIKE},
}
SET_BY_OTHERS = {"aws_region", "aws_endpoint_url"}  # by Lambda, and by the local cloud
STAMPED = {"release"}  # no parameter's value: `make deploy` writes it into the built template
FROM_SECRETS = {"db_password", "cursor_secret", "address_secret"}  # no parameter's value: resolved at the deployment


def read_variables(name: str) -> dict[str, Any]:
    """Return what a function's environment says: what all have in common, and its own."""
    document = load_template()
    own = document["Resources"][name]["Properties"].get("Environment", {}).get("Variables", {})
    return {**document["Globals"]["Function"]["Environment"]["Variables"], **own}


def list_functions() -> list[str]:
    """Return the logical ids of the template's functions."""
    return [n for n, r in load_template()["Resources"].items() if r["Type"] == "AWS::Serverless::Function"]


def test_every_parameter_has_the_default_decided_on() -> None:
    """A parameter without a default must be given at each deployment."""
    found = {name: each.get("Default", REQUIRED) for name, each in load_template()["Parameters"].items()}
    assert found == PARAMETERS


@pytest.mark.parametrize("name", list_functions())
def test_every_variable_is_the_parameter_of_its_name(name: str) -> None:
    """Two that are swapped would pass where only their presence is looked at. Two connect as the owner."""
    expected = VARIABLES | ({"DB_USER": "DatabaseOwner"} if FUNCTIONS.get(name) == OWNER else {})
    variables = read_variables(name)
    found = {variable: _find_parameter(value) for variable, value in variables.items() if _find_parameter(value)}
    assert found == {variable: parameter for variable, parameter in expected.items() if variable in variables}


def _find_parameter(value: Any) -> str | None:
    """Return the parameter that a variable is, or is with a database that the stack has not created."""
    match value:
        case {"Ref": str(name)} | {"Fn::If": ["CreatesDatabase", _, {"Ref": str(name)}]}:
            return name
    return None


def test_every_parameter_of_the_functions_is_stated_as_a_variable() -> None:
    """Together the functions have all variables."""
    everywhere = {variable for name in list_functions() for variable in read_variables(name)}
    assert set(VARIABLES) <= everywhere
    assert {field.upper() for field in set(Settings.model_fields) - SET_BY_OTHERS} <= everywhere
    others = SET_BY_OTHERS | FROM_SECRETS | STAMPED | {"db_user"}
    assert {field.upper() for field in set(Settings.model_fields) - others} <= set(VARIABLES)


def test_every_function_connects_as_a_role_of_its_own_or_all_as_the_one_that_is_named() -> None:
    """The integration tests run each function's code as its role; pages connect to nothing."""
    found = {name: read_variables(name).get("DB_USER") for name in list_functions()}
    own = {
        name: {"Fn::If": ["OwnRoles", role, {"Ref": "DatabaseUser"}]}
        for name, role in FUNCTIONS.items()
        if role != OWNER
    }
    owners = {name: {"Ref": "DatabaseOwner"} for name in ("AdminFunction", "MigrationFunction")}
    none = {"PagesFunction": None, "PreTrafficFunction": None}
    assert found == {**own, **owners, **none}
    assert load_template()["Conditions"]["OwnRoles"] == {"Fn::Equals": [{"Ref": "DatabaseUser"}, "own"]}


@pytest.mark.parametrize("field", SAME_DEFAULT)
def test_a_setting_and_its_parameter_have_one_default(field: str) -> None:
    """A test therefore gets from `Settings()` what is deployed."""
    assert getattr(Settings(), field) == PARAMETERS[VARIABLES[field.upper()]]


def test_the_limits_are_the_ones_decided_on() -> None:
    """An empty parameter, as in the template, changes none of them."""
    assert dict(DEFAULT_LIMITS) == LIMITS
    settings = Settings.from_environ({"LIMITS": PARAMETERS["Limits"]})
    assert {name: (settings.find_limit(name).burst, settings.find_limit(name).period_s) for name in LIMITS} == LIMITS


def test_the_circuits_are_the_ones_decided_on() -> None:
    """All figures of each are as stated; an empty parameter, as in the template, changes none."""
    settings = Settings.from_environ({"CIRCUITS": PARAMETERS["Circuits"]})
    found = {name: settings.find_circuit_policy(name) for name in DEFAULT_CIRCUITS}
    assert found == {name: CircuitPolicy(name=name, **figures) for name, figures in CIRCUITS.items()}
    stated = {frozenset(figures) | {"name"} for figures in CIRCUITS.values()}
    assert stated == {frozenset(CircuitPolicy.__dataclass_fields__)}


def test_the_retries_are_the_ones_decided_on() -> None:
    """There are three, from 100 ms on, doubled, 5 s at most."""
    settings = Settings.from_environ({"RETRY": PARAMETERS["Retry"]})
    assert settings.backoff == Backoff(retries=3, base_s=0.1, factor=2, cap_s=5)


def test_the_time_zones_are_the_countries_own() -> None:
    """The names are those of the tz database; Kosovo has Belgrade's."""
    assert TIME_ZONES == {"XK": "Europe/Belgrade", "MK": "Europe/Skopje", "AL": "Europe/Tirane"}


@pytest.mark.parametrize("field", Settings.model_fields)
def test_somebody_reads_every_setting(field: str) -> None:
    """A setting that no code reads is a promise that nothing keeps."""
    assert field in _attributes_read()


@cache
def _attributes_read() -> frozenset[str]:
    """Return the attributes that the code reads of something called settings, or the settings of themselves."""
    return frozenset(
        node.attr
        for package in PACKAGES
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and _is_settings(node.value, path)
    )


def _is_settings(node: ast.expr, path: Path) -> bool:
    match node:
        case ast.Name(id="self"):
            return path.name == "settings.py"
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in {"settings", "_settings"}
    return False
