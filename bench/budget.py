"""The budget (budget.toml): what is counted exactly and must not grow unnoticed."""

import platform
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.calls import SeededCalls
from bench.child import run_program
from bench.cloud import BenchCloud, build_environment
from bench.peaks import measure_peaks
from bench.programs import FUNCTIONS, OUR_PYTHON
from bench.sizes import measure_layer, measure_packages, round_up_to_kb
from bench.starts import FIRST_CALLS
from bench.trips import count_trips

FILE = Path(__file__).with_name("budget.toml")
PARTS = ("trips", "modules", "peak_kb", "kb")
EXACT = "trips."
ROUNDING = 1  # a count of few is a tenth lower than its budget if it is one lower
# What can't be compared where the budget was made by another Python, or on another processor.
INCOMPARABLE = {"python": ("modules.", "peak_kb."), "processor": ("kb.layer",)}


def read_budget() -> dict[str, Any]:
    """Return the budget."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def measure_budgeted(cloud: BenchCloud) -> dict[str, Any]:
    """Count what the budget is about, in its own form."""
    return {
        "made_on": describe_platform(),
        "trips": count_trips(cloud, seed=1)["ours"],
        "modules": {name: _count_modules(name, cloud) for name in FUNCTIONS},
        "peak_kb": measure_peaks(cloud, seed=3, stacks=["ours"])["ours"],
        "kb": measure_sizes_kb(),
    }


def measure_sizes_kb() -> dict[str, Any]:
    """Return the sizes of what is deployed from this machine, in KB."""
    packages = {name: round_up_to_kb(size) for name, size in measure_packages().items()}
    return {"layer": round_up_to_kb(measure_layer()["files"]), "packages": packages}


def describe_platform() -> dict[str, str]:
    """Return the version of the functions' Python, like 3.13, and the processor."""
    command = [str(OUR_PYTHON), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"python": done.stdout.strip(), "processor": platform.machine()}


def _count_modules(name: str, cloud: BenchCloud) -> int:
    with run_program(FUNCTIONS[name], build_environment(name, cloud.environment)) as process:
        if operation := FIRST_CALLS.get(name):
            process.call(SeededCalls(2).make_event(operation))
        return process.measure()["modules"]


def find_faults(budget: Mapping[str, Any], counted: Mapping[str, Any]) -> list[str]:
    """Return where what was counted is over its budget, or the budget is slack, or one of the two is missing."""
    slack, made_on, platform_now = budget["slack"], budget["made_on"], counted["made_on"]
    differing = [name for name in INCOMPARABLE if made_on[name] != platform_now[name]]
    left_out = tuple(path for name in differing for path in INCOMPARABLE[name])
    budgeted, found = (_list_compared(tree, left_out) for tree in (budget, counted))
    missing = [f"{name} has no budget: {found[name]}" for name in sorted(found.keys() - budgeted.keys())]
    unknown = [f"{name} has a budget, and is not there" for name in sorted(budgeted.keys() - found.keys())]
    both = sorted(budgeted.keys() & found.keys())
    judged = (_judge(name, budgeted[name], found[name], slack) for name in both)
    return [*missing, *unknown, *(fault for fault in judged if fault)]


def _list_compared(tree: Mapping[str, Any], left_out: tuple[str, ...]) -> dict[str, Any]:
    leaves = (leaf for part in PARTS for leaf in _list_leaves(tree[part], f"{part}."))
    return {path: value for path, value in leaves if not path.startswith(left_out)}


def _judge(name: str, most: float, counted: float, slack: float) -> str | None:
    if counted > most:
        return f"{name} is over its budget: {counted}, at most {most}"
    least = most if name.startswith(EXACT) else most * (1 - slack) - ROUNDING
    if counted < least:
        return f"{name} has a slack budget: {counted}, and the budget is {most}"
    return None


def _list_leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _list_leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
