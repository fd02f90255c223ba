"""The layer as the local build makes it: small, compiled, and with all that the functions and their clients need.

The figures are upper bounds close above what was measured (docs/decisions/0075): whoever needs more raises one, and
says in the commit what for.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from local.layer_build import build_layer
from local.sam.build import read_machine_architecture
from local.state_folder import StateFolder
from shared.aws.sqs import format_message
from tests.gateway_events import build_batch_event
from tests.layer_figures import MOST_BYTES
from tests.local.layer_programs import (
    IMPORT_ALL,
    LIST_MODULES,
    MAKE_CLIENTS,
    RENDER,
    RUN_BATCH,
    VERIFY_TOKEN,
    WITHOUT_LAYER,
    list_imports,
    list_loaded,
    run_program,
)
from tests.services import ROOT

LAMBDA = (3, 13)
# Modules after the import of a function on Lambda's Python, by function; some differ by a few between machines.
MOST_MODULES = {
    "agents": 687,
    "claims": 687,
    "health": 370,
    "housekeeping": 464,
    "jobs_api": 684,
    "members": 684,
    "migration": 455,
    "operations": 674,
    "pages": 350,
    "relay": 464,
    "worker": 740,
}
# Modules that no function imports at its start.
NEVER = ("cryptography", "Crypto", "jwt", "idna")
# Modules that some functions import only for certain calls.
NOT_AT_START = {
    "health": ("psycopg", "boto3", "urllib3"),
    "pages": ("psycopg", "boto3", "botocore.session", "urllib3"),
    "relay": ("boto3", "botocore.session"),
    "housekeeping": ("boto3", "botocore.session"),
    "migration": ("boto3", "botocore.session"),
}
# A program for each use of the packages, and a module of them that it loads.
USES = {
    "all imports": (IMPORT_ALL, "aws_lambda_powertools.utilities.batch.base"),
    "clients": (MAKE_CLIENTS, "boto3.s3.inject"),
    "tokens": (VERIFY_TOKEN, "Crypto.Signature.pkcs1_15"),
    "texts": (RENDER, "jinja2.runtime"),
    "a batch": (RUN_BATCH, "aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch"),
}


@pytest.fixture(scope="module")
def python() -> str:
    """Return the interpreter that the local cloud runs the functions on."""
    return StateFolder(ROOT, ROOT / ".local").find_python("lambda")


@pytest.fixture(scope="module")
def layer(python: str) -> Path:
    """Return the layer, built if it has to be."""
    return build_layer(ROOT, python, report=print)


def run_in_layer(python: str, layer: Path, program: str, *arguments: str, given: str = "") -> str:
    """Run a program with the layer and all functions on the path; return what it prints."""
    return run_program(python, [layer / "python"], program, *arguments, given=given)


def list_modules(python: str, layer: Path, function: str) -> set[str]:
    """Return the modules that the start of a function imports."""
    return set(json.loads(run_in_layer(python, layer, LIST_MODULES, function)))


def make_tokens() -> tuple[dict[str, Any], str, str]:
    """Return a public key as a pool publishes it, a token signed with it, and one signed with another key."""
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    good, forged = (jwt.encode({"sub": "s-1"}, key, algorithm="RS256") for key in keys)
    return json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(keys[0].public_key())), good, forged


def make_batch() -> dict[str, Any]:
    """Return the event of a batch of the jobs 1 and 2."""
    return build_batch_event(*(format_message(UUID(int=number), hops=0) for number in (1, 2)))


def find_input(program: str) -> str:
    """Return what a program reads."""
    inputs: dict[str, Callable[[], Any]] = {IMPORT_ALL: list_imports, VERIFY_TOKEN: make_tokens, RUN_BATCH: make_batch}
    return json.dumps(inputs[program]()) if program in inputs else ""


def is_lambdas(python: str) -> bool:
    """Return whether an interpreter is of the version that Lambda runs."""
    done = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
    return tuple(map(int, done.stdout.split())) == LAMBDA


def test_every_function_with_the_layer_has_its_figure() -> None:
    """Two are deployed without it."""
    functions = {path.name for path in (ROOT / "functions").iterdir() if path.is_dir()}
    assert set(MOST_MODULES) == functions - set(WITHOUT_LAYER)


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
    """What is left of botocore's data is enough, and one session reads it once."""
    made = json.loads(run_in_layer(python, layer, MAKE_CLIENTS))
    wanted = tomllib.loads((ROOT / "layers/shared/contents.toml").read_text(encoding="utf-8"))["operations"]
    assert made["operations"] == {name: sorted(each) for name, each in wanted.items() if each}
    assert made["session"] == 1
    assert made["form"]["url"] == "https://evidence.s3.eu-central-1.amazonaws.com/"
    assert made["link"].startswith("https://evidence.s3.eu-central-1.amazonaws.com/claims/1?")
    assert made["password"].startswith("db.example.test:5432/?Action=connect&DBUser=app&")


def test_tokens_are_verified_without_cryptography(layer: Path, python: str) -> None:
    """The layer has PyCryptodome, of which RSA and SHA-256 are left."""
    printed = run_in_layer(python, layer, VERIFY_TOKEN, given=find_input(VERIFY_TOKEN))
    assert printed.split() == ["s-1", "refused", "False"]


def test_mails_and_the_page_are_made_of_what_is_left(layer: Path, python: str) -> None:
    """Jinja's templates, and Swagger UI's files."""
    assert run_in_layer(python, layer, RENDER).count("'") == 8


def test_powertools_logs_counts_and_says_which_messages_come_again(layer: Path, python: str) -> None:
    """What is left of Powertools in the layer is enough."""
    printed = run_in_layer(python, layer, RUN_BATCH, given=find_input(RUN_BATCH))
    line, metric, answer = map(json.loads, printed.splitlines())
    assert (line["message"], line["service"], line["error"]) == ("job_not_done", "test", "ValueError")
    assert metric["VersionFailures"] == [1.0]
    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert "besa@example.test" not in printed


@pytest.mark.parametrize("use", list(USES))
def test_nothing_that_is_imported_is_left_out(use: str, layer: Path, python: str) -> None:
    """Not even what its importer can do without, by doing something else: whole packages load no more than these."""
    program, module = USES[use]
    given = find_input(program)
    cut = list_loaded(python, [layer / "python"], program, given)
    whole = list_loaded(sys.executable, filter(None, sys.path), program, given)
    packages = {path.stem for path in (layer / "python").iterdir()}
    assert module in cut & whole
    assert {name for name in whole if name.partition(".")[0] in packages} - cut == set()
