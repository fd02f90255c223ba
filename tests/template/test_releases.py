"""A deployment publishes a new version of every function that differs from what is called, and none that doesn't.

The template is put through the real transform twice, as two deployments would; what is compared are the logical ids of
the functions' versions and of the API's deployment, by which CloudFormation knows what to make anew.
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from local.template import list_code_folders, read_template
from tests.services import EMULATOR_PYTHON, ROOT
from tests.settings.test_defaults import PARAMETERS, REQUIRED
from tests.template.translation import REGION, TEMPLATE, Json, find_by_type
from tools.release import (
    NoBuild,
    compute_release,
    insert_release,
    parse_parameters,
    read_built_template,
    read_parameters,
    read_release,
    stamp_build,
)

TEXT = TEMPLATE.read_text(encoding="utf-8")
# The hook has no alias: CodeDeploy calls what was deployed last.
FUNCTIONS = frozenset(list_code_folders(read_template(TEXT), ROOT)) - {"PreTrafficFunction"}
# Another value of each parameter, for those whose default is not enough of one.
FIRST = {
    "AllowedOrigins": "https://app.example.test",
    "AppUrl": "https://app.example.test",
    "MailSender": "no-reply@example.test",
    "DeskMailbox": "desk@example.test",
}
SECOND = {
    **{name: f"{value}.example" for name, value in FIRST.items()},
    **{name: str(value + 1) for name, value in PARAMETERS.items() if isinstance(value, int)},
    "Architecture": "x86_64",
    "DatabaseMode": "existing",
    "Egress": "nat",
    "DatabaseDeletionProtection": "false",
    "DatabaseHost": "proxy.example.test",
    "DatabaseName": "another",
    "DatabaseUser": "interdomestik_app",
    "DatabaseOwner": "another",
    "DatabaseAuth": "password",
    "DatabaseSslMode": "require",
    "DatabaseSslRootCert": "rds",
    "DatabasePipeline": "off",
    "DatabaseResourceId": "prx-0123456789abcdef0",
    "DatabaseSecretArn": "arn:aws:secretsmanager:eu-central-1:000000000000:secret:functions",
    "DatabaseOwnerSecretArn": "arn:aws:secretsmanager:eu-central-1:000000000000:secret:owner",
    "MailIdentity": "example.test",
    "DeskLanguage": "en",
    "Country": "MK",
    "Limits": '{"read": [120, 60]}',
    "Circuits": '{"email": {"open_s": 30}}',
    "Retry": '{"retries": 2}',
    "EventSources": "DISABLED",
    "DeploymentPreference": "AllAtOnce",
    "ServiceVersion": "1.0.0",
    "LogLevel": "DEBUG",
    "LogRetentionDays": "30",
    "AlarmMailbox": "operators@example.test",
    "WakeMailbox": "pager@example.test",
    "SubnetIds": "subnet-1,subnet-2",
    "SecurityGroupIds": "sg-1",
}

# Reads deployments, each a template, its parameters and the moment; writes each one's template for CloudFormation.
TRANSFORM = """
import json, sys, time
from types import SimpleNamespace
from samtranslator.translator.transform import transform
def transformed(template, parameters, moment):
    time.time = lambda: moment
    return transform(template, parameters, SimpleNamespace(load=dict))
json.dump([transformed(*each) for each in json.load(sys.stdin)], sys.stdout)
"""


@dataclass(frozen=True)
class Deployment:
    """A deployment: the built template, all other built files by path, the parameters, and the time."""

    template: str
    files: Mapping[str, str]
    parameters: Mapping[str, str]
    moment: float = 0.0

    def build_in(self, folder: Path) -> Path:
        """Write it as `sam build` does."""
        for path, content in {**self.files, "template.yaml": self.template}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
        return folder

    def packaged(self) -> Json:
        """Return the template as `sam deploy` uploads it: code lies in S3 under the hash of its content."""
        document = read_template(self.template)
        for name, resource in document["Resources"].items():
            for key in {"CodeUri", "ContentUri", "TemplateURL"} & resource.get("Properties", {}).keys():
                content = sorted((path, text) for path, text in self.files.items() if path.startswith(f"{name}/"))
                digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
                resource["Properties"][key] = f"s3://an-artifact-bucket/{digest}"
        return document


@dataclass(frozen=True)
class Ids:
    """The logical ids: of the version behind each function's alias, and of the API's deployment on its stage."""

    versions: Mapping[str, str]
    api: str

    def moved_from(self, before: "Ids") -> frozenset[str]:
        """Return the functions whose version is another one."""
        assert self.versions.keys() == before.versions.keys() == FUNCTIONS
        return frozenset(name for name, version in self.versions.items() if before.versions[name] != version)


def transform_deployments(*deployments: Deployment) -> list[Ids]:
    """Return what CloudFormation is given for each."""
    answer = subprocess.run(
        [str(EMULATOR_PYTHON), "-c", TRANSFORM],
        input=json.dumps([(each.packaged(), dict(each.parameters), each.moment) for each in deployments]),
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_DEFAULT_REGION": REGION},
    )
    assert answer.returncode == 0, answer.stderr
    return [ids_of(template) for template in json.loads(answer.stdout)]


def ids_of(template: Json) -> Ids:
    """Return the ids of a transformed template; everything is called by an alias on a version that is there."""
    aliases = find_by_type(template, "AWS::Lambda::Alias").values()
    versions = {each["FunctionName"]["Ref"]: each["FunctionVersion"]["Fn::GetAtt"][0] for each in aliases}
    assert set(versions.values()) == set(find_by_type(template, "AWS::Lambda::Version"))
    [stage] = find_by_type(template, "AWS::ApiGateway::Stage").values()
    assert stage["DeploymentId"]["Ref"] in find_by_type(template, "AWS::ApiGateway::Deployment")
    return Ids(versions, stage["DeploymentId"]["Ref"])


FILES = {
    **{f"{name}/app.py": f"# {name}" for name in FUNCTIONS},
    "SharedLayer/python/shared/settings.py": "# settings",
    "SharedLayer/migrations/0001_people.sql": "-- people",
    "Database/template.yaml": "# database",
}
BEFORE = Deployment(TEXT, FILES, FIRST)


def with_file(path: str) -> Deployment:
    """Return the deployment with another content of one file."""
    return replace(BEFORE, files={**FILES, path: "another"})


def with_text(found: str, wanted: str) -> Deployment:
    """Return the deployment with another text in its template."""
    assert TEXT.count(found) == 1
    return replace(BEFORE, template=TEXT.replace(found, wanted))


# The functions that have the common one.
WITHOUT_A_TIMEOUT = frozenset({"AgentsFunction", "MembersFunction", "ClaimsFunction", "JobsFunction"})

# What moves by the template's own properties, without a release's id: each other code, layer, migration and property.
PLAIN: dict[str, tuple[Deployment, frozenset[str]]] = {
    "nothing": (BEFORE, frozenset()),
    "one function's code": (with_file("ClaimsFunction/app.py"), frozenset({"ClaimsFunction"})),
    "the layer's code": (with_file("SharedLayer/python/shared/settings.py"), FUNCTIONS),
    "a migration": (with_file("SharedLayer/migrations/0001_people.sql"), FUNCTIONS),
    "a new migration": (with_file("SharedLayer/migrations/0002_claims.sql"), FUNCTIONS),
    "the nested template": (with_file("Database/template.yaml"), frozenset()),
    "the functions' memory": (with_text("    MemorySize: 1024\n", "    MemorySize: 2048\n"), FUNCTIONS),
    "the common timeout": (with_text("    Timeout: 28 #", "    Timeout: 27 #"), WITHOUT_A_TIMEOUT),
    "a variable": (
        with_text("POWERTOOLS_METRICS_NAMESPACE: Interdomestik", "POWERTOOLS_METRICS_NAMESPACE: X"),
        FUNCTIONS,
    ),
    "the way into the VPC": (with_text(", !Ref SecurityGroupIds]\n", ", [sg-1]]\n"), FUNCTIONS),
}


@cache
def plain() -> dict[str, Ids]:
    """Return the ids of each, deployed without a release's id."""
    names = list(PLAIN)
    return dict(zip(names, transform_deployments(*(PLAIN[name][0] for name in names)), strict=True))


@pytest.mark.parametrize("change", PLAIN)
def test_what_is_built_reaches_what_is_called_by_a_plain_deployment(change: str) -> None:
    """`sam build` and `sam deploy` suffice; unchanged code keeps its version."""
    assert plain()[change].moved_from(plain()["nothing"]) == PLAIN[change][1]


# What moves with a release's id: all of the above, and each parameter.
RELEASED: dict[str, Deployment] = {
    **{name: deployment for name, (deployment, _) in PLAIN.items()},
    **{name: replace(BEFORE, parameters={**FIRST, name: SECOND[name]}) for name in PARAMETERS},
}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ids]:
    """Return the ids of each, deployed by `make deploy`, one after another."""
    deployments = []
    for moment, deployment in enumerate(RELEASED.values()):
        build = deployment.build_in(tmp_path_factory.mktemp("build"))
        stamp_build(build, [f"{name}={value}" for name, value in deployment.parameters.items()])
        deployments.append(replace(deployment, template=read_built_template(build), moment=float(moment)))
    return dict(zip(RELEASED, transform_deployments(*deployments), strict=True))


@pytest.mark.parametrize("change", [name for name in RELEASED if name != "nothing"])
def test_every_change_reaches_what_is_called_by_a_release(released: dict[str, Ids], change: str) -> None:
    """All functions have a new version, and the API a new deployment, also where a parameter's value alone changed."""
    assert released[change].moved_from(released["nothing"]) == FUNCTIONS
    assert released[change].api != released["nothing"].api


def test_every_parameter_has_another_value_here() -> None:
    """A new parameter belongs into SECOND."""
    defaults = {name: FIRST[name] if value is REQUIRED else str(value) for name, value in PARAMETERS.items()}
    assert {name for name in PARAMETERS if SECOND.get(name, defaults[name]) == defaults[name]} == set()


def test_the_same_release_again_publishes_nothing(tmp_path: Path) -> None:
    """Built and stamped anew, from files that were written and compiled anew."""
    again = []
    for name in ("first", "second"):
        build = BEFORE.build_in(tmp_path / name)
        (build / "SharedLayer/python/shared/__pycache__").mkdir()
        (build / "SharedLayer/python/shared/__pycache__/settings.cpython-313.pyc").write_text(name)
        stamp_build(build, ["LogLevel=DEBUG", "MailRate=2"])
        stamp_build(build, ["MailRate=2", "LogLevel=DEBUG"])  # stamped before: it makes no difference
        again.append(replace(BEFORE, template=read_built_template(build)))
    first, second = transform_deployments(*again)
    assert second.moved_from(first) == frozenset()


def test_a_plain_deployment_after_a_release_does_not_keep_the_old_versions(tmp_path: Path) -> None:
    """The id stands in the built template and nowhere in the stack: the next build is without it."""
    build = BEFORE.build_in(tmp_path)
    stamp_build(build, [])
    stamped_one, after = transform_deployments(
        replace(BEFORE, template=read_built_template(build)), with_file("ClaimsFunction/app.py")
    )
    assert after.moved_from(stamped_one) == FUNCTIONS


def test_the_stamp_is_a_variable_of_every_function() -> None:
    """It names their versions, and health reports it."""
    document = read_template(insert_release(TEXT, "0123456789ab"))
    assert document["Globals"]["Function"]["Environment"]["Variables"]["RELEASE"] == "0123456789ab"
    assert read_release(insert_release(TEXT, "0123456789ab")) == "0123456789ab"


def test_the_parameters_of_a_release_are_those_of_samconfig_where_none_are_passed(tmp_path: Path) -> None:
    """`sam deploy` takes them in the same way; other values are another release."""
    assert read_parameters(ROOT / "samconfig.toml", "default") == [
        "AllowedOrigins=*",
        "LogRetentionDays=7",
        "LogLevel=DEBUG",
        "DatabaseMinCapacity=0.5",
        "DatabaseBackupDays=1",
        "DatabaseDeletionProtection=false",
        "DeploymentPreference=AllAtOnce",
    ]
    assert read_parameters(ROOT / "samconfig.toml", "prod") == []
    build = BEFORE.build_in(tmp_path)
    assert compute_release(build, {"LogLevel": "DEBUG"}) != compute_release(build, {"LogLevel": "INFO"})
    assert parse_parameters(['Limits={"read": [1, 60]}', "A=b=c"]) == {"Limits": '{"read": [1, 60]}', "A": "b=c"}


def test_what_cannot_be_released_is_refused(tmp_path: Path) -> None:
    """Nothing was built, it was not stamped, it has no place for a stamp, or a parameter is none."""
    with pytest.raises(NoBuild, match="sam build"):
        stamp_build(tmp_path, [])
    with pytest.raises(NoBuild, match="make deploy"):
        read_release(TEXT)
    with pytest.raises(NoBuild, match="RELEASE"):
        insert_release("Resources: {}\n", "0123456789ab")
    with pytest.raises(ValueError, match="LogLevel"):
        parse_parameters(["LogLevel"])


def test_the_pipeline_types_are_text() -> None:
    """YAML 1.1 takes a bare on for true, which a parameter's allowed values must not be."""
    parameter: dict[str, Any] = read_template(TEXT)["Parameters"]["DatabasePipeline"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("on", ["on", "off"])
