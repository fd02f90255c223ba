"""Runs of mutmut in a staged copy, and what it says about each mutant."""

import ast
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.mutants.parts import PACKAGES, Part
from tools.mutants.results import PartResults, SurvivingMutant
from tools.mutants.staging import COMMIT, MUTATED
from tools.pages import ROOT

PROGRAM = ROOT / ".venvs/mutants/bin/mutmut"
REPORT_EVERY_S = 20.0
# Hypothesis tries the same examples and sets have the same order in each run, so that each run kills the same mutants.
# Pytest's plugins of others are not loaded, which takes a third of the time that a mutant takes.
ENVIRONMENT = {"CI": "1", "PYTHONHASHSEED": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
# mutmut's words for a mutant that a test noticed. A mutant that hangs or crashes the process was noticed too.
HUNG = frozenset({"timeout", "segfault"})
NOTICED = HUNG | {"killed"}
RESULT = re.compile(r"^ +(\S+): ([a-z ]+)$", re.MULTILINE)
STATUS = re.compile(r"\d+/\d+ .*")


class MutmutFailed(Exception):
    """mutmut did not come to its end; the message has what it printed last."""


@dataclass(frozen=True)
class StagedPart:
    """A part of the code in its staged copy."""

    part: Part
    folder: Path

    def run(self, names: Iterable[str] = ()) -> None:
        """Test the mutants of these names, or all without a result, and print the progress. Raise MutmutFailed."""
        (self.folder / MUTATED / "mutmut-stats.json").unlink(missing_ok=True)
        command = [str(PROGRAM), "run", "--max-children", "1", *names]
        with subprocess.Popen(  # noqa: S603 - the program of our own environment
            command, cwd=self.folder, env=self._build_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            last = _print_progress(self.part.name, process)
        if process.returncode != 0:
            raise MutmutFailed(f"mutmut ended with {process.returncode}:\n{last}")

    def _build_environment(self) -> Mapping[str, str]:
        return {**os.environ, **ENVIRONMENT}

    def list_statuses(self) -> dict[str, str]:
        """Return what became of each mutant, by mutmut's name for it."""
        return dict(RESULT.findall(self._ask("results", "--all", "true")))

    def _ask(self, *arguments: str) -> str:
        command = [str(PROGRAM), *arguments]
        return subprocess.run(  # noqa: S603 - the program of our own environment
            command, cwd=self.folder, env=self._build_environment(), capture_output=True, text=True, check=True
        ).stdout

    def read_results(self) -> PartResults:
        """Return the results as they are kept."""
        statuses = self.list_statuses()
        survivors = [self._describe(name) for name, status in statuses.items() if status not in NOTICED]
        return PartResults(
            commit=(self.folder / COMMIT).read_text(encoding="utf-8"),
            digest=self.part.compute_digest(),
            mutants=len(statuses),
            killed=len(statuses) - len(survivors),
            hung=sum(status in HUNG for status in statuses.values()),
            survivors=tuple(sorted(survivors, key=lambda each: (each.file, each.line, each.after))),
        )

    def _describe(self, name: str) -> SurvivingMutant:
        module, _, function = name.rpartition(".")
        package, _, rest = module.partition(".")
        file = Path(PACKAGES[package], *rest.split(".")).with_suffix(".py")
        qualified = ".".join(function.partition("__mutmut_")[0].removeprefix("x").strip("ǁ_").split("ǁ"))
        return describe_change(str(file), qualified, self._ask("show", name))


def _print_progress(name: str, process: subprocess.Popen[bytes]) -> str:
    """Print mutmut's figures now and then until it ends; return what it printed last."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    printed_at, text = 0.0, ""
    while chunk := os.read(process.stdout.fileno(), 65_536):
        text = (text + chunk.decode(errors="replace"))[-4000:]
        if (figures := STATUS.findall(text.replace("\r", "\n"))) and time.monotonic() - printed_at > REPORT_EVERY_S:
            print(f"{name}: {figures[-1]}", flush=True)
            printed_at = time.monotonic()
    return text


def describe_change(file: str, qualified: str, difference: str) -> SurvivingMutant:
    """Return the change that mutmut's difference shows, with its line in the file as it is in the checkout."""
    lines = difference.splitlines()
    removed = [line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")]
    added = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")]
    line = find_line(ROOT / file, qualified, removed[0] if removed else "")
    return SurvivingMutant(file, line, qualified, " ".join(removed), " ".join(added))


def find_line(path: Path, qualified: str, text: str) -> int:
    """Return the number of the function's first line with this text; the function's own if there is none."""
    source = path.read_text(encoding="utf-8")
    for name, function in _list_functions(ast.parse(source)):
        if name.replace("_", "") == qualified.replace("_", ""):
            lines = source.splitlines()[function.lineno - 1 : function.end_lineno]
            same = [number for number, line in enumerate(lines) if line.strip() == text]
            return function.lineno + (same[0] if same else 0)
    return 1


def _list_functions(module: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in module.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for function in inner:
            if isinstance(function, ast.FunctionDef):
                yield prefix + function.name, function
