"""A copy of the checkout in which mutmut finds one part of the code as it needs it."""

import configparser
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

from stress.controls.checkout_copies import copy_checkout
from stress.git_reader import read_git
from tools.mutants.decorators import write_without_decorators
from tools.mutants.parts import PACKAGES, Part
from tools.pages import ROOT

FOLDER = ROOT / "build/mutants"
COMMIT = "commit.txt"  # the commit that was copied
HASH_DIGITS = 12
CODE_AND_TESTS = ("layers", "functions", "tests")
MUTATED = "mutants"  # mutmut's folder within the copy, with the changed code
# A mutant hangs, which its tests notice, if it takes longer than this factor times their duration plus these seconds.
TIMEOUT_FACTOR, TIMEOUT_S = 3.0, 2.0
# Lines on which mutmut changes nothing: a cast's type is for mypy alone, and means nothing when the code runs.
NEVER_MUTATED = (r'\bcast\("',)

FASTEST_FIRST = "tools.mutants.fastest_first"


def stage(part: Part, folder: Path, *, keep: bool) -> None:
    """Make the copy; with `keep`, take over what mutmut found in an earlier one."""
    found = folder.with_name(f"{folder.name}-found")
    shutil.rmtree(found, ignore_errors=True)
    if keep and (folder / MUTATED).exists():
        (folder / MUTATED).rename(found)
    copy_checkout(ROOT, folder)
    if found.exists():
        found.rename(folder / MUTATED)
    for package, path in PACKAGES.items():
        shutil.copytree(folder / path, folder / package)
    for file in sorted((folder / part.package_path).glob("*.py")):
        file.write_text(write_without_decorators(file.read_text(encoding="utf-8")), encoding="utf-8")
    _write_settings(part, folder)
    (folder / COMMIT).write_text(_describe_commit(), encoding="utf-8")


def _describe_commit() -> str:
    """Return the commit of the code and of its tests, and whether files differed from it."""
    commit = read_git(ROOT, "rev-parse", f"--short={HASH_DIGITS}", "HEAD") or "unknown"
    return f"{commit} with changes" if read_git(ROOT, "status", "--porcelain", "--", *CODE_AND_TESTS) else commit


def _write_settings(part: Part, folder: Path) -> None:
    beside = sorted(path.name for path in folder.iterdir() if path.name not in (*PACKAGES, MUTATED, ".venvs"))
    settings = {
        "source_paths": list(PACKAGES),
        "only_mutate": [f"{part.package_path}/*"],
        "do_not_mutate_patterns": list(NEVER_MUTATED),
        "also_copy": beside,
        "pytest_add_cli_args_test_selection": [test for test in part.tests if (folder / test).exists()],
        "pytest_add_cli_args": [
            "-o",
            f"pythonpath={' '.join(_list_import_roots())}",
            "-p",
            FASTEST_FIRST,
            "-p",
            "no:cacheprovider",
        ],
        "use_git_change_detection": ["false"],
        # Tests leave threads behind, which a fork of their process would miss.
        "process_isolation": ["forkserver"],
        "timeout_multiplier": [str(TIMEOUT_FACTOR)],
        "timeout_constant": [str(TIMEOUT_S)],
    }
    parser = configparser.ConfigParser(interpolation=None)
    parser["mutmut"] = {
        name: "\n".join(["", *values] if len(values) > 1 else values) for name, values in settings.items()
    }
    with (folder / "setup.cfg").open("w", encoding="utf-8") as file:
        parser.write(file)


def _list_import_roots() -> Iterator[str]:
    """Yield pytest's folders of packages but those whose packages lie at the root of the copy."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        roots = tomllib.load(file)["tool"]["pytest"]["ini_options"]["pythonpath"]
    moved = {str(Path(path).parent) for path in PACKAGES.values()}
    yield from (root for root in roots if root not in moved)
