"""What a function's process may do with the layer's packages, as programs that run in a new process."""

import ast
import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.packages import PACKAGES

# Deployed without the layer: they have the runtime's own boto3.
WITHOUT_LAYER = ("database_setup", "pretraffic")
CODE = [folder for folder in PACKAGES if folder.name not in WITHOUT_LAYER]
FUNCTIONS = [folder for folder in CODE if folder.parent.name == "functions"]
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
# All that our code imports anywhere. The worker is imported first, as on Lambda: see contents.toml, of the parser.
IMPORT_ALL = """
import json, sys
import worker.app
for statement in json.load(sys.stdin):
    exec(statement, {})
"""
# Makes each of our clients with the operations that contents.toml lists, and signs what needs no call.
MAKE_CLIENTS = """
import json
from shared.aws import clients

made = [clients.get_dynamodb(), clients.get_impatient_dynamodb(), clients.get_sqs(), clients.get_cognito(),
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
# A batch whose job 2 fails: a line, a metric, and the message that comes again.
RUN_BATCH = """
import json, sys
from worker.app import run_batch

class Runner:
    def run_job(self, job_id, deadline, *, hops):
        if job_id.int == 2:
            raise ValueError("besa@example.test")
        return "done"

print(json.dumps(run_batch(json.load(sys.stdin), None, Runner())))
"""
# Appended to a program: prints what it has loaded.
SHOW_LOADED = """
import json, sys
print(json.dumps(sorted(sys.modules)))
"""


def run_program(python: str, packages: Iterable[Path | str], program: str, *arguments: str, given: str = "") -> str:
    """Run a program with our functions and these folders of packages on its path; return what it prints."""
    path = os.pathsep.join(map(str, [*packages, *FUNCTIONS]))
    environment = {**ENVIRONMENT, "PATH": os.environ["PATH"], "PYTHONPATH": path}
    command = [python, "-c", program, *arguments]
    done = subprocess.run(
        command, env=environment, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def list_loaded(python: str, packages: Iterable[Path | str], program: str, given: str) -> set[str]:
    """Return the modules that a program has loaded at its end."""
    names: list[str] = json.loads(run_program(python, packages, program + SHOW_LOADED, given=given).splitlines()[-1])
    return set(names)


def list_imports() -> list[str]:
    """Return each statement of our deployed code that imports something when it runs, and an import of each module."""
    statements: set[str] = set()
    modules = [(folder, path) for folder in CODE for path in folder.rglob("*.py") if path.parent != folder]
    for folder, path in modules:
        name = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        statements.add(f"import {name}")
        statements.update(map(ast.unparse, find_imports(ast.parse(path.read_text(encoding="utf-8")))))
    return sorted(statements)


def find_imports(node: Any) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports within a piece of code, at any depth, but those for type checkers alone."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from find_imports(child)
