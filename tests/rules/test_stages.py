"""`make ci` runs each test in exactly one of its stages, whatever its mark; `make chaos` runs what CI leaves out."""

import itertools
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.services import ROOT
from tools.stages import parse_groups

MARKS = {"long": "pytest.mark.long", "timed": "pytest.mark.timed", "alarms": "alarm_cloud"}
AGAIN = ("oldest-python", "one-by-one")  # run what others run, in another way
CHAOS = "chaos"
USED_ENVIRONMENT = re.compile(r"""ROOT / ["']\.venvs/([\w.]+)""")
INSTALLED_ENVIRONMENTS = re.compile(r"-m local\.bootstrap(?: --\S+)*((?: +[\w.]+)+)$")


@dataclass(frozen=True)
class PytestCommand:
    """What a command line of pytest selects."""

    paths: tuple[str, ...]
    ignored: tuple[str, ...]
    expression: str

    @classmethod
    def parse(cls, line: str) -> "PytestCommand":
        """Return it, of a line that runs pytest."""
        words = shlex.split(line.rpartition("/pytest ")[2])
        values = {word: words[n + 1] for n, word in enumerate(words[:-1]) if word in ("-m", "--ignore")}
        paths = tuple(word for word in words if word.startswith("tests/") and word not in values.values())
        return cls(paths, tuple(v for k, v in values.items() if k == "--ignore"), values.get("-m", "True"))

    def selects(self, file: str, marks: frozenset[str]) -> bool:
        """Return whether it runs a test of a file that has these marks."""
        is_named = any(is_within(file, path) for path in self.paths)
        is_ignored = any(is_within(file, path) for path in self.ignored)
        return is_named and not is_ignored and bool(eval(self.expression, {}, {name: name in marks for name in MARKS}))


def is_within(file: str, path: str) -> bool:
    """Return whether a file is that path, or below it."""
    return file == path or file.startswith(f"{path}/")


@cache
def print_recipe(target: str) -> list[str]:
    """Return the commands that make would run for a target."""
    done = subprocess.run(
        ["make", "-n", "--no-print-directory", target], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.replace("\\\n", " ").splitlines()


def find_command(target: str) -> str:
    """Return the command by which a target runs its stages."""
    [line] = [line for line in print_recipe(target) if "-m tools.stages" in line]
    return line


def list_stages(target: str) -> list[str]:
    """Return the stages that a target runs."""
    groups = parse_groups(find_command(target).partition("--make ")[2].split()[1:])
    return [name for group in groups for lane in group for name in lane]


def list_commands(stage: str) -> list[PytestCommand]:
    """Return how a stage runs pytest."""
    return [PytestCommand.parse(line) for line in print_recipe(stage) if "/pytest " in line]


def list_kinds() -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each file of tests with each set of marks that a test of it may have."""
    for path in sorted(Path(ROOT, "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        present = [name for name, word in MARKS.items() if word in text]
        for count in range(len(present) + 1):
            for marks in itertools.combinations(present, count):
                yield path.relative_to(ROOT).as_posix(), frozenset(marks)


def test_each_test_is_run_by_one_stage_and_what_is_long_by_chaos() -> None:
    """A folder that is no stage's, or a mark that is left out and nowhere selected, would be run by nobody."""
    commands = {stage: list_commands(stage) for stage in [*list_stages("ci"), CHAOS] if stage not in AGAIN}
    wrong = {}
    for file, marks in list_kinds():
        found = [stage for stage, runs in commands.items() if any(run.selects(file, marks) for run in runs)]
        is_left_out = "long" in marks or is_within(file, "tests/chaos")
        if file != Path(__file__).relative_to(ROOT).as_posix() and (len(found), CHAOS in found) != (1, is_left_out):
            wrong[file, marks] = found
    assert wrong == {}


def test_make_test_runs_what_ci_runs_but_sam() -> None:
    """One list of stages stands in the Makefile."""
    assert [stage for stage in list_stages("ci") if stage != "sam"] == list_stages("test")


@pytest.mark.parametrize("stage", ["timed", "harness", "readiness", "controls-tenth"])
def test_what_compares_times_runs_alone(stage: str) -> None:
    """A neighbour would make it slower."""
    assert stage in find_command("ci").split()


def test_a_tenth_of_the_controls_takes_four_minutes_of_ci_and_each_night_runs_all() -> None:
    """The program chooses which tenth: see tests/stress/test_control_records.py."""
    assert "stress-controls" in list_stages("nightly")
    assert "controls-tenth" in list_stages("ci")
    [line] = [line for line in print_recipe("controls-tenth") if "stress.controls" in line]
    assert "--tenth --within 240" in line
    assert "--record" not in line  # CI leaves the checkout as it is


@pytest.mark.parametrize("target", ["test", "ci", "nightly"])
def test_make_itself_starts_the_stages(target: str) -> None:
    """A shell between them would die of CI's signal first, and CI be over before the stages have ended."""
    assert re.fullmatch(r"[\w./-]+ -m tools\.stages [\w ./,+-]+", find_command(target))


def list_installed(stage: str) -> set[str]:
    """Return the environments that a stage installs before its tests."""
    found = [INSTALLED_ENVIRONMENTS.search(line.rstrip()) for line in print_recipe(stage)]
    return {name for match in found if match for name in match[1].split()}


def list_missing(text: str, installed: set[str]) -> set[str]:
    """Return the environments of this checkout that a test's file uses, and that are not installed."""
    return set(USED_ENVIRONMENT.findall(text)) - installed


def test_each_stage_installs_the_environments_that_its_tests_use() -> None:
    """A checkout in which somebody has worked has all of them; a fresh clone has what the stage installs."""
    missing = {}
    for stage in [*list_stages("ci"), CHAOS]:
        paths = {path for run in list_commands(stage) for path in run.paths}
        files = [file for path in paths for file in Path(ROOT, path).rglob("*.py")]
        installed = list_installed(stage)
        for file in files:
            if found := list_missing(file.read_text(encoding="utf-8"), installed):
                missing[stage, file.relative_to(ROOT).as_posix()] = found
    assert missing == {}


def test_an_environment_that_no_stage_installs_is_found() -> None:
    """The text is the one that has passed wherever the report had been made before."""
    installed = list_installed("local")
    assert {"dev", "local", "emulator", "lambda", "databases"} <= installed
    assert list_missing(f'{"ROOT"} / ".venvs/stress/bin/python"', installed) == {"stress"}
