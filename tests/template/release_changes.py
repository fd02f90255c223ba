"""The changes that a deployment can bring, and what each makes anew, by the real transform.

The template is put through the transform once for each change, as deployments one after another would be; what is
compared are the logical ids of the functions' versions and of the API's deployment, by which CloudFormation knows what
to make anew. tests/template/test_releases.py has what must move; tools/releases_page.py shows what does.
"""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from local.template import list_code_folders, read_template
from tests.services import EMULATOR_PYTHON, ROOT
from tests.settings.test_defaults import PARAMETERS
from tests.template.translation import REGION, TEMPLATE, Json, find_by_type
from tools.release import read_built_template, stamp_build

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
def transform_template(template, parameters, moment):
    time.time = lambda: moment
    return transform(template, parameters, SimpleNamespace(load=dict))
json.dump([transform_template(*each) for each in json.load(sys.stdin)], sys.stdout)
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

    def package(self) -> Json:
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
        input=json.dumps([(each.package(), dict(each.parameters), each.moment) for each in deployments]),
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_DEFAULT_REGION": REGION},
    )
    assert answer.returncode == 0, answer.stderr
    return [read_ids(template) for template in json.loads(answer.stdout)]


def read_ids(template: Json) -> Ids:
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


def change_file(path: str) -> Deployment:
    """Return the deployment with another content of one file."""
    return replace(BEFORE, files={**FILES, path: "another"})


def change_text(found: str, wanted: str) -> Deployment:
    """Return the deployment with another text in its template."""
    assert TEXT.count(found) == 1
    return replace(BEFORE, template=TEXT.replace(found, wanted))


# The functions that have the common one.
WITHOUT_A_TIMEOUT = frozenset({"AgentsFunction", "MembersFunction", "ClaimsFunction", "JobsFunction"})

NOTHING, AGAIN, CONCURRENCY = "nothing", "nothing, deployed again", "a function's reserved concurrency"

# What moves by the template's own properties, without a release's id: each other code, layer, migration and property.
PLAIN: dict[str, tuple[Deployment, frozenset[str]]] = {
    NOTHING: (BEFORE, frozenset()),
    AGAIN: (BEFORE, frozenset()),
    "one function's code": (change_file("ClaimsFunction/app.py"), frozenset({"ClaimsFunction"})),
    "the layer's code": (change_file("SharedLayer/python/shared/settings.py"), FUNCTIONS),
    "a migration": (change_file("SharedLayer/migrations/0001_people.sql"), FUNCTIONS),
    "a new migration": (change_file("SharedLayer/migrations/0002_claims.sql"), FUNCTIONS),
    "the nested template": (change_file("Database/template.yaml"), frozenset()),
    "the functions' memory": (change_text("    MemorySize: 1024\n", "    MemorySize: 2048\n"), FUNCTIONS),
    "the common timeout": (change_text("    Timeout: 28 #", "    Timeout: 27 #"), WITHOUT_A_TIMEOUT),
    "a variable": (
        change_text("POWERTOOLS_METRICS_NAMESPACE: Interdomestik", "POWERTOOLS_METRICS_NAMESPACE: X"),
        FUNCTIONS,
    ),
    # No part of a version: Lambda makes none for it, so that a plain deployment of nothing else fails.
    CONCURRENCY: (
        change_text("[ReservesConcurrency, 16, ", "[ReservesConcurrency, 17, "),
        frozenset({"WorkerFunction"}),
    ),
    "the way into the VPC": (change_text(", !Ref SecurityGroupIds]\n", ", [sg-1]]\n"), FUNCTIONS),
}


# What moves with a release's id: all of the above, and each parameter.
RELEASED: dict[str, Deployment] = {
    **{name: deployment for name, (deployment, _) in PLAIN.items()},
    **{name: replace(BEFORE, parameters={**FIRST, name: SECOND[name]}) for name in PARAMETERS},
}


MOMENTS = {name: float(moment) for moment, name in enumerate(RELEASED)}


def deploy_plainly(changes: Iterable[str]) -> dict[str, Ids]:
    """Return the ids of each change, deployed by `sam build` and `sam deploy` alone, each at a moment of its own."""
    names = list(changes)
    deployments = [replace(RELEASED[name], moment=MOMENTS[name]) for name in names]
    return dict(zip(names, transform_deployments(*deployments), strict=True))


def deploy_releases(changes: Iterable[str], folder: Path) -> dict[str, Ids]:
    """Return the ids of each change, deployed by `make deploy` at a moment of its own; `folder` is for the builds."""
    names, deployments = list(changes), []
    for name in names:
        build = RELEASED[name].build_in(folder / str(MOMENTS[name]))
        stamp_build(build, [f"{key}={value}" for key, value in RELEASED[name].parameters.items()])
        deployments.append(replace(RELEASED[name], template=read_built_template(build), moment=MOMENTS[name]))
    return dict(zip(names, transform_deployments(*deployments), strict=True))


class LazyDeployments(Mapping[str, Ids]):
    """The ids of each change, which are found when they are asked for: of the first few at once, then of all others.

    The transforms of all take half a minute, which a test that fails at one of the first need not wait for.
    """

    FIRST_FEW = 10

    def __init__(self, deploy: Callable[[Iterable[str]], dict[str, Ids]]) -> None:
        self._deploy = deploy
        self._found: dict[str, Ids] = {}

    def __getitem__(self, name: str) -> Ids:
        if name not in self._found:
            first, others = list(RELEASED)[: self.FIRST_FEW], list(RELEASED)[self.FIRST_FEW :]
            self._found |= self._deploy(first if name in first else others)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(RELEASED)

    def __len__(self) -> int:
        return len(RELEASED)
