"""Digests of the code that a control guards: its result holds for exactly this code, whatever commit it is in.

A control breaks the service, and a scenario finds it. So it guards the service, the harness with its own scenario and
the modules that this one imports, and itself. Other scenarios, the pages and other controls decide nothing about it,
and may change.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from stress.controls.checkout_copies import list_files
from stress.controls.model import NegativeControl

SERVICE = ("functions/", "layers/", "migrations/", "templates/", "template.yaml", "local/")
HARNESS = ("stress/", "judge/")
LEFT_OUT = ("stress/controls/controls.toml", "stress/controls/patches/", "stress/report/", "stress/published_")
SCENARIOS = "stress/scenarios/"
PACKAGE = "stress.scenarios"
OF_A_SCENARIO = b"\nPROMISE = "  # what makes a module of that folder a scenario
DIGITS = 16


class GuardedCode:
    """The files of a checkout that any control guards, as they are now, committed or not."""

    def __init__(self, root: Path) -> None:
        """Read all of them. Raise CannotCopy if git can't list them."""
        self._hashes: dict[str, str] = {}
        self._imports: dict[str, set[str]] = {}  # of each module of the harness, those of scenarios
        self._scenarios: set[str] = set()
        for name in list_files(root):
            if name.startswith((*SERVICE, *HARNESS)) and not name.startswith(LEFT_OUT):
                path = root / name
                content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
                self._hashes[name] = hashlib.sha256(content).hexdigest()
                if name.startswith(HARNESS) and name.endswith(".py"):
                    self._imports[name] = set(_list_imports(content))
                if name.startswith(SCENARIOS) and OF_A_SCENARIO in content:
                    self._scenarios.add(name)

    def describe(self, control: NegativeControl) -> dict[str, str]:
        """Return the digest of each part that a control guards."""
        others = {name for name in self._imports if name.startswith(SCENARIOS)} - self._find_own(control.scenario)
        written = {name: value for name, value in asdict(control).items() if name not in ("name", "why")}
        return {
            "service": self._hash_files(SERVICE, set()),
            "harness": self._hash_files(HARNESS, others),
            "control": _hash_text(json.dumps(written, sort_keys=True)),
        }

    def _find_own(self, scenario: str) -> set[str]:
        """Return a scenario's module and all that it imports, directly or not; with what the harness takes for any."""
        of_any = {
            imported for name, found in self._imports.items() if not name.startswith(SCENARIOS) for imported in found
        }
        reached, open_ = set[str](), [_name_module("__init__"), _name_module(scenario), *(of_any - self._scenarios)]
        while open_:
            name = open_.pop()
            if name not in reached:
                reached.add(name)
                open_.extend(self._imports.get(name, ()))
        return reached

    def _hash_files(self, folders: tuple[str, ...], without: set[str]) -> str:
        names = [name for name in sorted(self._hashes) if name.startswith(folders) and name not in without]
        return _hash_text("".join(f"{name}\0{self._hashes[name]}\n" for name in names))


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _name_module(name: str) -> str:
    return f"{SCENARIOS}{name}.py"


def _list_imports(source: bytes) -> Iterator[str]:
    """Yield the modules of scenarios that one of them imports, wherever it does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            yield from (_name_module(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from _find_module(node.module)
        elif isinstance(node, ast.Import):
            yield from (name for alias in node.names for name in _find_module(alias.name))


def _find_module(imported: str) -> Iterator[str]:
    package, _, name = imported.rpartition(".")
    if package == PACKAGE:
        yield _name_module(name)
