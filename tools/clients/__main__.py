"""The command that generates the clients: python -m tools.clients python|typescript.

Nothing that it writes is kept in the repository: `make clients` makes it anew. The TypeScript client needs npm.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tools.clients.description import adapt_description
from tools.openapi.__main__ import TARGET
from tools.pages import ROOT

CLIENTS = ROOT / "clients"
ADAPTED = ROOT / "build/clients/openapi.json"
PYTHON = CLIENTS / "python/interdomestik_client/generated"
TYPESCRIPT = CLIENTS / "typescript"
# A package of Node.js is built in a copy: thousands of files of its dependencies would lie among ours.
TYPESCRIPT_BUILT = ROOT / "build/clients/typescript"


def write_adapted() -> Path:
    """Write the description that the generators read, and return its path."""
    description = json.loads(TARGET.read_text(encoding="utf-8"))
    ADAPTED.parent.mkdir(parents=True, exist_ok=True)
    ADAPTED.write_text(json.dumps(adapt_description(description)), encoding="utf-8")
    return ADAPTED


def generate_python(source: Path) -> None:
    """Generate the Python functions and models."""
    shutil.rmtree(PYTHON, ignore_errors=True)
    generator = [str(ROOT / ".venvs/clients/bin/openapi-python-client"), "generate", "--meta", "none"]
    config = ["--config", str(CLIENTS / "python/generator.yaml")]
    subprocess.run([*generator, *config, "--path", str(source), "--output-path", str(PYTHON)], check=True)  # noqa: S603


def generate_typescript(source: Path) -> None:
    """Generate the TypeScript types, and build the package."""
    shutil.copytree(TYPESCRIPT, TYPESCRIPT_BUILT, dirs_exist_ok=True)
    programs = TYPESCRIPT_BUILT / "node_modules/.bin"
    for command in (
        ["npm", "ci", "--silent", "--no-audit", "--no-fund"],
        [str(programs / "openapi-typescript"), str(source), "--output", "src/schema.d.ts"],
        [str(programs / "tsc")],
    ):
        subprocess.run(command, cwd=TYPESCRIPT_BUILT, check=True)  # noqa: S603


GENERATORS = {"python": generate_python, "typescript": generate_typescript}


def main(arguments: list[str]) -> int:
    """Generate the named clients."""
    for name in arguments:
        GENERATORS[name](write_adapted())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
