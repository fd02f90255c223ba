"""Each import rule of pyproject.toml finds an import against it, planted in a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages import CONFIG, FOLDERS
from tests.services import ROOT

RULES = CONFIG["tool"]["importlinter"]["contracts"]
# What is planted for each rule: a module, and what it imports against the rule.
PLANTED = {
    "Functions never import each other: each is deployed without the others": ("claims.service", "members.model"),
    "The layer imports no function, and neither imports the local cloud or a tool": ("shared.clock", "relay.app"),
    "The local cloud knows the functions by template.yaml alone": ("local.layer_build", "agents.app"),
    "The readiness report imports nothing of what it judges: it talks HTTP and SQL": (
        "stress.load_generator",
        "shared.ids",
    ),
    "The benchmark knows what it measures by its processes, the names of handlers and .sql files": (
        "bench.sizes",
        "members.model",
    ),
    "The predecessor in miniature shares no code with the harness, and has libraries of its own": (
        "stress.before.records",
        "stress.verdict",
    ),
    "The harness knows the predecessor in miniature by its command line and HTTP alone": (
        "stress.scenarios.predecessor",
        "stress.before.app",
    ),
    "The judge of a run's files shares no code with the service, the harness or a library": (
        "judge.history.checker",
        "stress.limits",
    ),
    "The service and the harness share no code with the judge": ("stress.limits", "judge.history.checker"),
    "In the layer each level imports those below it, and no level is left out": (
        "shared.api.pagination",
        "shared.container",
    ),
    "The modules of a package import each other in one direction": ("shared.retry.backoff", "shared.retry.budget"),
    "Admission, circuit and retry are pure: the standard library only": ("shared.circuit.state", "pydantic"),
    "psycopg has one home, shared.database": ("shared.outbox.jobs", "psycopg"),
    "boto3 has one home, shared.aws": ("worker.ses", "botocore"),
    "The API knows transactions as a protocol, not how they are run": ("shared.api.call", "shared.database.pipeline"),
    "Handlers alone build what a function needs": ("worker.job_runner", "shared.container"),
    "In a function's package a handler imports use cases, and these import models": ("agents.model", "agents.service"),
    "A use case knows transactions, not HTTP, AWS or how it is wired": ("members.service", "shared.settings"),
    "A model is made of fields": ("claims.model", "shared.outbox.audit"),
}
# Against one direction it takes an import back.
RETURNED = ("shared.retry.budget", "shared.retry.backoff")


def _find_source(root: Path, module: str) -> Path:
    """Return the file of a module in a tree."""
    paths = (root / folder / f"{module.replace('.', '/')}.py" for folder in FOLDERS)
    return next(path for path in paths if path.exists())


def _plant(root: Path, importer: str, imported: str) -> None:
    path = _find_source(root, importer)
    path.write_text(f"{path.read_text(encoding='utf-8')}\nimport {imported}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the report on each rule, after an import against each of them was planted."""
    root = tmp_path_factory.mktemp("rules") / "tree"
    for folder in ("bench", "layers", "functions", "judge", "local", "stress", "tools"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for importer, imported in (*PLANTED.values(), RETURNED):
        _plant(root, importer, imported)
    (root / "layers/shared/shared/left_out.py").touch()
    program = Path(sys.executable).with_name("lint-imports")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(root / folder) for folder in FOLDERS),
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [program, "--no-cache"], cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    sections = re.split(r"^(.+)\n-{10,}\n", done.stdout.partition("Broken contracts")[2], flags=re.MULTILINE)
    return dict(zip(sections[1::2], sections[2::2], strict=True))


def test_something_is_planted_against_every_rule() -> None:
    """A rule that is added needs its proof."""
    assert [rule["name"] for rule in RULES] == list(PLANTED)


@pytest.mark.parametrize("rule", PLANTED)
def test_an_import_against_a_rule_is_found(found: dict[str, str], rule: str) -> None:
    """The report on this rule names the import."""
    one, other = (re.escape(module.rpartition(".")[2]) for module in PLANTED[rule])
    assert re.search(rf"\b({one}\b.* -> .*\b{other}|{other}\b.* -> .*\b{one})\b", found[rule])


def test_a_module_on_no_floor_of_the_layer_is_found(found: dict[str, str]) -> None:
    """A new module therefore has to be given its level."""
    assert "left_out" in found["In the layer each level imports those below it, and no level is left out"]


def test_every_module_of_the_harness_is_closed_to_the_predecessor_in_miniature() -> None:
    """The rule lists the modules one by one: a new one is missed here."""
    name = "The predecessor in miniature shares no code with the harness, and has libraries of its own"
    rule = next(rule for rule in RULES if rule["name"] == name)
    inside = (ROOT / "stress").iterdir()
    modules = {f"stress.{each.stem}" for each in inside if each.suffix == ".py" or (each / "__init__.py").exists()}
    assert modules - {"stress.__init__", "stress.before"} == {m for m in rule["forbidden_modules"] if "stress." in m}


def test_every_module_of_a_function_is_a_handler_or_builds_nothing() -> None:
    """The rule about the container lists modules one by one: a new one is missed here."""
    rule = next(rule for rule in RULES if rule["name"] == "Handlers alone build what a function needs")
    modules = {
        f"{path.parent.name}.{path.stem}"
        for path in (ROOT / "functions").glob("*/*/*.py")
        if path.stem not in ("__init__", "app", "container")
    }
    assert modules == set(rule["source_modules"])
