"""docs/reference/guarantees.md, made from guarantees.toml and the last figures (measurements/figures.json).

    python -m tests.guarantees.page [--keep]

`--keep` first takes over what each test has measured when it last ran (build/figures.jsonl). A promise names its tests,
the figure they record, and the bar as an expression on it; a figure that several tests or cases record is held to it
each time.
"""

import ast
import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.measurements import FILE as MEASURED

ROOT = Path(__file__).resolve().parents[2]
PROMISES = ROOT / "tests/guarantees/guarantees.toml"
FIGURES = ROOT / "measurements/figures.json"
PAGE = ROOT / "docs/reference/guarantees.md"

Figure = Mapping[str, Any]
# What a bar may call, besides comparing and counting.
WORDS = {"min": min, "max": max, "median": median}
# What can break a promise on purpose, as guarantees.toml and the page have it.
BREAKS = {"control": "control", "mutation": "mutation", "test": "faults of"}

HEAD = """# Guarantees

What this service guarantees, the test that checks it, and what that test last measured. `make guarantees` generates
this page from `tests/guarantees/guarantees.toml` and `measurements/figures.json`. `make test` fails if the page is
out of date, a named test is gone, or a figure misses its limit, be it the published figure or the one just measured.
Short forms run in `make test`, long ones in `make chaos` from a seed that the figure names. A figure is of the commit
at which it was measured, which may be older than the code. The last column names what breaks the promise on purpose,
and is found: a control of the readiness report, a mutation, or faults put into the code.
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """A test, and the figure it records; `show` is a format string of the figure's fields.

    `needs` is a program without which the test is skipped, and says so; most need none.
    """

    test: str
    figure: str
    bar: str
    show: str
    long: bool
    needs: str = ""

    def is_met(self, figure: Figure) -> bool:
        """Return whether a figure meets the limit."""
        return bool(eval(self.bar, {"__builtins__": {}}, {**WORDS, **figure}))

    def format_figures(self, figures: Sequence[Figure]) -> str:
        """Return the figures in words: one, or of several the largest of each field, their sums, or all of them."""
        of = {"sum": _list_values(sum, figures), "all": _list_values(_format_list, figures)}
        return self.show.format(**_list_values(max, figures), **of, times=len(figures))


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A guarantee of the page: a promise, its limit and its evidence.

    `broken_by` are breaks by which the promise is seen to be one that can fail, each as `kind:name`, a kind of BREAKS.
    """

    promise: str
    bar: str
    evidence: tuple[Proof, ...]
    broken_by: tuple[str, ...] = ()


def read_guarantees(text: str) -> list[Guarantee]:
    """Return the guarantees of a TOML text."""
    return [
        Guarantee(
            entry["promise"],
            entry["bar"],
            tuple(_read_proof(each) for each in entry["evidence"]),
            tuple(entry["broken_by"]),
        )
        for entry in tomllib.loads(text)["guarantee"]
    ]


def _read_proof(entry: Mapping[str, str]) -> Proof:
    test = entry["test"]
    return Proof(
        test,
        entry["figure"],
        entry["bar"],
        entry["show"],
        long=test.startswith("tests/chaos/"),
        needs=entry.get("needs", ""),
    )


def _list_values(of: Callable[[list[Any]], Any], figures: Sequence[Figure]) -> Figure:
    values = {key: [figure[key] for figure in figures if key in figure] for figure in figures for key in figure}
    return {key: of(found) for key, found in values.items() if of is not sum or isinstance(found[0], int | float)}


def _format_list(found: list[Any]) -> str:
    return " / ".join(map(str, found))


def read_figures(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Figure]]:
    """Return figures by name, in the order in which they were measured."""
    found: dict[str, list[Figure]] = {}
    for line in lines:
        figure = {key: value for key, value in line.items() if key not in {"name", "test", "run"}}
        found.setdefault(line["name"], []).append(figure)
    return found


def choose_last_runs(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the lines that each test has written when it last ran: of two runs, one is published, not their sum."""
    last = {line["test"]: line["run"] for line in lines}
    return [line for line in lines if line["run"] == last[line["test"]]]


def render(promised: Sequence[Guarantee], figures: Mapping[str, Sequence[Figure]]) -> str:
    """Return the page."""
    rows = [line for promise in promised for line in _format_rows(promise, figures)]
    titles = ("promise", "bar", "test", "last figure", "measured at", "broken by")
    head = f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|\n"
    return f"{HEAD}\n{head}" + "\n".join(rows) + "\n"


def _format_rows(promise: Guarantee, figures: Mapping[str, Sequence[Figure]]) -> Iterator[str]:
    for n, evidence in enumerate(promise.evidence):
        path, _, name = evidence.test.partition("::")
        shown = evidence.format_figures(figures[evidence.figure]) if evidence.figure in figures else "not measured yet"
        first = (promise.promise, promise.bar, _format_breaks(promise.broken_by)) if n == 0 else ("", "", "")
        words = name.removeprefix("test_").replace("_", " ")
        at = _format_commits(figures.get(evidence.figure, ()))
        yield f"| {first[0]} | {first[1]} | `{path}`<br>{words} | {shown} | {at} | {first[2]} |"


def _format_commits(figures: Sequence[Figure]) -> str:
    """Return of which commits the figures are, by which a reader sees how old they are."""
    return "<br>".join(dict.fromkeys(f"`{each['commit']}`" if "commit" in each else "not kept" for each in figures))


def _format_breaks(broken_by: Sequence[str]) -> str:
    """Return what breaks a promise, in words."""
    pairs = [each.partition(":")[::2] for each in broken_by]
    return "<br>".join(f"{BREAKS[kind]} `{name}`" for kind, name in pairs) or "nothing yet"


def list_tests(path: Path) -> set[str]:
    """Return the names of the test functions that a file defines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"}


def read_published() -> dict[str, list[Figure]]:
    """Return the figures that the page shows."""
    document: dict[str, list[Figure]] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return document


def read_measured(file: Path = MEASURED) -> list[dict[str, Any]]:
    """Return what tests have measured in this checkout since `make test` last began; empty if none has run."""
    return list(map(json.loads, file.read_text(encoding="utf-8").splitlines())) if file.exists() else []


def main(arguments: Sequence[str]) -> int:
    """Write the page anew."""
    promised = read_guarantees(PROMISES.read_text(encoding="utf-8"))
    named = {evidence.figure for promise in promised for evidence in promise.evidence}
    figures = read_published() if FIGURES.exists() else {}
    if "--keep" in arguments:
        figures |= read_figures(choose_last_runs(read_measured()))
        figures = {name: found for name, found in figures.items() if name in named}
        lines = [f" {json.dumps(name)}: {json.dumps(figures[name])}" for name in sorted(figures)]
        FIGURES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    PAGE.write_text(render(promised, figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
