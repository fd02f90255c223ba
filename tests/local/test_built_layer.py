"""The layer as the local build makes it: small, compiled, and with all that the functions and their clients need.

The figures are upper bounds close above what was measured (docs/decisions/0075): whoever needs more raises one, and
says in the commit what for.
"""

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from local.layer_build import build_layer
from local.sam.build import read_machine_architecture
from local.state_folder import StateFolder
from tests.layer_figures import MOST_BYTES
from tests.services import ROOT

LAMBDA = (3, 13)
# Modules after the import of a function on Lambda's Python, by function; some differ by a few between machines.
MOST_MODULES = {
    "agents": 592,
    "claims": 600,
    "health": 320,
    "housekeeping": 415,
    "jobs_api": 588,
    "members": 586,
    "migration": 405,
    "operations": 576,
    "pages": 300,
    "relay": 415,
    "worker": 600,
}
# What no function imports at its start. boto3 comes with Lambda's image, so leaving it out of the layer is not enough.
NEVER = ("boto3", "s3transfer", "aws_lambda_powertools", "cryptography", "Crypto", "jwt", "idna", "multiprocessing")
# What some functions import only when they are called so.
NOT_AT_START = {
    "health": ("psycopg", "botocore.session", "urllib3"),
    "pages": ("psycopg", "botocore", "urllib3"),
    "relay": ("botocore.session",),
    "housekeeping": ("botocore.session",),
    "migration": ("botocore",),
}
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "POWERTOOLS_SERVICE_NAME": "test",
    "PYTHONDONTWRITEBYTECODE": "1",
}
LIST_MODULES = """
import importlib, json, sys
importlib.import_module(sys.argv[1] + ".app")
print(json.dumps(sorted(sys.modules)))
"""
# Each client of ours with the operations that contents.toml gives its service, and what is signed without a call.
MAKE_CLIENTS = """
import json
from shared.aws import clients

made = [clients.get_dynamodb(), clients.get_circuit_dynamodb(), clients.get_sqs(), clients.get_cognito(),
        clients.get_s3(), clients.get_sesv2()]
made += [clients.get_health_client(name) for name in ("dynamodb", "sesv2", "cognito-idp", "s3", "sqs")]
found = {}
for client in made:
    operations = client.meta.method_to_api_mapping
    assert all(callable(getattr(client, method)) for method in operations)
    found[client.meta.service_model.service_name] = sorted(operations.values())
form = clients.get_s3().generate_presigned_post("evidence", "claims/1")
link = clients.get_s3().generate_presigned_url("get_object", Params={"Bucket": "evidence", "Key": "claims/1"})
password = clients.sign_database_password(host="db.example.test", port=5432, user="app")
print(json.dumps({"operations": found, "form": form, "link": link, "password": password,
                  "session": len({id(client._loader) for client in made})}))
"""
VERIFY_TOKEN = """
import json, sys
import jwt
from shared.api.auth.rs256 import RS256, SigningKey
key, good, forged = json.load(sys.stdin)
print(jwt.decode(good, SigningKey(key), algorithms=[RS256])["sub"])
try:
    jwt.decode(forged, SigningKey(key), algorithms=[RS256])
except jwt.InvalidSignatureError:
    print("refused")
print("cryptography" in sys.modules)
"""
RENDER = """
from pages.documentation import _build_page
from worker.mail_rendering import LANGUAGES, render_mail
page = _build_page()
assert "swagger-ui" in page.html and len(page.html) > 1_000_000
facts = {"full_name": "Besa", "referral_code": "ARTA-7K3F"}
link = "https://app.example.test"
print([render_mail("agent-received", language, facts, link=link).subject for language in LANGUAGES])
"""


@pytest.fixture(scope="module")
def python() -> str:
    """Return the interpreter that the local cloud runs the functions on."""
    return StateFolder(ROOT, ROOT / ".local").find_python("lambda")


@pytest.fixture(scope="module")
def layer(python: str) -> Path:
    """Return the layer, built if it has to be."""
    return build_layer(ROOT, python, report=print)


def run_in_layer(python: str, layer: Path, program: str, *arguments: str, given: str = "") -> Any:
    """Run a program with the layer and all functions on the path; return what it prints."""
    folders = [layer / "python", *sorted((ROOT / "functions").iterdir())]
    environment = {**ENVIRONMENT, "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [python, "-c", program, *arguments]
    done = subprocess.run(
        command, env=environment, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def list_modules(python: str, layer: Path, function: str) -> set[str]:
    """Return the modules that the start of a function imports."""
    return set(json.loads(run_in_layer(python, layer, LIST_MODULES, function)))


def make_tokens() -> tuple[dict[str, Any], str, str]:
    """Return a public key as a pool publishes it, a token signed with it, and one signed with another key."""
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    good, forged = (jwt.encode({"sub": "s-1"}, key, algorithm="RS256") for key in keys)
    return json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(keys[0].public_key())), good, forged


def is_lambdas(python: str) -> bool:
    """Return whether an interpreter is of the version that Lambda runs."""
    done = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
    return tuple(map(int, done.stdout.split())) == LAMBDA


def test_every_function_with_the_layer_has_its_figure() -> None:
    """Two are deployed without it."""
    functions = {path.name for path in (ROOT / "functions").iterdir() if path.is_dir()}
    assert set(MOST_MODULES) == functions - {"database_setup", "pretraffic"}


def test_the_layer_is_small(layer: Path) -> None:
    """A new environment loads it before anything runs. Links are followed: a deployed layer has copies."""
    files = [Path(folder) / name for folder, _, names in os.walk(layer, followlinks=True) for name in names]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES[read_machine_architecture()]


def test_every_source_of_the_layer_is_compiled(layer: Path, python: str) -> None:
    """/opt can't be written to, so what is not compiled would be compiled in each cold start."""
    tag = run_in_layer(python, layer, "import sys; print(sys.implementation.cache_tag)").strip()
    sources = [path for path in (layer / "python").rglob("*.py") if path.is_file()]
    missing = [path for path in sources if not (path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc").exists()]
    assert len(sources) > 400
    assert missing == []


@pytest.mark.parametrize("function", list(MOST_MODULES))
def test_a_function_starts_with_few_modules(function: str, layer: Path, python: str) -> None:
    """Each costs time and memory in every new environment."""
    modules = list_modules(python, layer, function)
    unwanted = (*NEVER, *NOT_AT_START.get(function, ()))
    assert [name for name in unwanted if name in modules] == []
    if is_lambdas(python):
        assert len(modules) <= MOST_MODULES[function]


def test_every_client_has_its_operations(layer: Path, python: str) -> None:
    """By what is left of botocore's data, and by one session, which reads it once."""
    made = json.loads(run_in_layer(python, layer, MAKE_CLIENTS))
    wanted = tomllib.loads((ROOT / "layers/shared/contents.toml").read_text(encoding="utf-8"))["operations"]
    assert made["operations"] == {name: sorted(each) for name, each in wanted.items() if each}
    assert made["session"] == 1
    assert made["form"]["url"] == "https://evidence.s3.eu-central-1.amazonaws.com/"
    assert made["link"].startswith("https://evidence.s3.eu-central-1.amazonaws.com/claims/1?")
    assert made["password"].startswith("db.example.test:5432/?Action=connect&DBUser=app&")


def test_tokens_are_verified_without_cryptography(layer: Path, python: str) -> None:
    """The layer has PyCryptodome, of which RSA and SHA-256 are left."""
    given = json.dumps(make_tokens())
    assert run_in_layer(python, layer, VERIFY_TOKEN, given=given).split() == ["s-1", "refused", "False"]


def test_mails_and_the_page_are_made_of_what_is_left(layer: Path, python: str) -> None:
    """Jinja's templates, and Swagger UI's files."""
    assert run_in_layer(python, layer, RENDER).count("'") == 8
