"""`sam build` for both processors, without Docker."""

from pathlib import Path

from local.sam.build import OWN
from local.template import read_template
from tests.layer_figures import MOST_BYTES
from tests.services import ROOT
from tools.machines import find_foreign, find_machines

RESOURCES = read_template((ROOT / "template.yaml").read_text(encoding="utf-8"))["Resources"]
FUNCTIONS = {name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::Serverless::Function"}


def test_every_compiled_file_is_for_the_processor(build: tuple[str, Path]) -> None:
    """pip takes wheels of the platform that the layer's Makefile names, whatever machine it runs on."""
    architecture, folder = build
    machines = dict(find_machines(folder))
    assert find_foreign(machines, architecture) == []
    names = {path.name.partition(".")[0] for path in machines}
    assert {"_pydantic_core", "_psycopg", "_nat", "_SHA256"} <= names  # pydantic, psycopg and PyCryptodome
    assert "_rust" not in names  # cryptography


def test_a_build_has_every_function_and_the_layer(build: tuple[str, Path]) -> None:
    """The layer with the package, the migrations and the certificates' roots; one function is the nested stack's."""
    _, folder = build
    assert {path.name for path in folder.glob("*Function")} == FUNCTIONS
    assert [path.parent.name for path in folder.rglob("SetupFunction/database_setup/app.py")] == ["database_setup"]
    for part in ("python/shared/container.py", "migrations/0001_people.sql", "python/shared/database/roots"):
        assert (folder / "SharedLayer" / part).exists()


def test_all_that_is_deployed_is_compiled(build: tuple[str, Path]) -> None:
    """By Lambda's version, in the functions too; an environment can't write bytecode, and would compile each time."""
    _, folder = build
    sources = [path for path in folder.rglob("*.py") if OWN not in path.relative_to(folder).parts]
    missing = [path for path in sources if not (path.parent / f"__pycache__/{path.stem}.cpython-313.pyc").exists()]
    assert len(sources) > 400
    assert missing == []


def test_the_layer_that_is_deployed_is_small(build: tuple[str, Path]) -> None:
    """A new environment loads it before anything runs."""
    architecture, folder = build
    files = [path for path in (folder / "SharedLayer").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES[architecture]
