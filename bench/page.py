"""docs/reference/bench.md and its pictures, made of measurements/bench.json."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.charts import BarRow, draw_bars
from bench.programs import OPERATIONS, STACKS, STARTED, STEPS, TITLES
from bench.warm import CALLS

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "measurements/bench.json"
PAGE = ROOT / "docs/reference/bench.md"
TEMPLATE = Path(__file__).with_name("page.md")
DELAYS = ("0", "1", "2.5")
PARTS = ("interpreter", *STEPS, "first_call")
MB = 1_000_000
NONE = "–"


def read_measured() -> dict[str, Any]:
    """Return what the last kept run has measured."""
    measured: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return measured


def write_measured(measured: Mapping[str, Any]) -> None:
    """Keep what a run has measured."""
    MEASURED.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_page(measured: Mapping[str, Any]) -> None:
    """Write the page and its pictures."""
    for path, text in build_files(measured).items():
        path.write_text(text, encoding="utf-8")


def build_files(measured: Mapping[str, Any]) -> dict[Path, str]:
    """Return the text of each generated file."""
    parts = {
        "run": describe_run(measured["run"], measured),
        "figures": format_table(("Figure", "Measured", "95 %", "Bar", "", "26 Nov"), list_figures(measured)),
        "calls": format_table(
            ("Operation", "Stack", *(_name_delay(d) for d in DELAYS), "CPU", "Memory KB"), list_calls(measured)
        ),
        "trips": format_table(("Operation", "Stack", "AWS", "Database", "In sequence"), list_trips(measured)),
        "starts": format_table(
            (
                "Program",
                "Interpreter",
                "Imports",
                "Clients",
                "Connection",
                "Whole start",
                "First call",
                "Modules",
                "MB",
            ),
            list_starts(measured),
        ),
        "runtime": format_table(("Stack", "Wall ms", "CPU ms", "Start ms"), list_runtime(measured)),
        "parts": format_table(("Part of the layer", "MB"), list_parts(measured)),
        "packages": format_table(("Function", "KB"), list_packages(measured)),
        "layer_mb": f"{measured['sizes']['layer_mb']:g}",
        "bytecode_mb": f"{measured['sizes']['layer']['bytecode'] / MB:.1f}",
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    pictures = {
        MEASURED.with_name("bench-calls.svg"): draw_calls(measured),
        MEASURED.with_name("bench-starts.svg"): draw_starts(measured),
    }
    return {PAGE: text, **pictures}


def describe_run(run: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """Return what was measured where, in a sentence."""
    turns = measured["calls"]["ours"]["registration"]["0"]["wall_ms"]["n"]
    starts = measured["starts"]["members"]["total"]["n"]
    return (
        f"Measured on {run['at']} at commit `{run['commit']}` in {run['seconds']} s: {run['processors']} processors, "
        f"Python {run['python']}, seed {run['seed']}, {turns} turns of {CALLS} calls of each kind, "
        f"{starts} starts of each program."
    )


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown; all columns but the first are aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def list_figures(measured: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each figure with its bar."""
    for figure in measured["figures"]:
        interval = NONE if figure["low"] is None else f"{figure['low']:.2f} – {figure['high']:.2f}"
        value = f"{figure['value']:.2f}" if figure["low"] is not None else f"{figure['value']:g}"
        verdict = "met" if figure["met"] else "**not met**"
        yield figure["name"], value, interval, f"≤ {figure['at_most']:g}", verdict, f"{figure.get('today', NONE)}"


def list_calls(measured: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each operation and stack: medians of the wall time by delay, and of the CPU time."""
    for operation in OPERATIONS:
        for stack in STACKS:
            found = measured["calls"][stack][operation]
            times = [format_time(found[delay]["wall_ms"]) if delay in found else NONE for delay in DELAYS]
            peak = str(measured["peak_kb"][stack][operation])
            yield operation, TITLES[stack], *times, format_time(found["0"]["cpu_ms"]), peak


def format_time(median: Mapping[str, Any]) -> str:
    """Return a median in ms with its interval."""
    if median["low"] is None:
        return f"{median['value']:.2f}"
    return f"{median['value']:.2f} ({median['low']:.2f} – {median['high']:.2f})"


def list_trips(measured: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each operation and stack."""
    for operation in OPERATIONS:
        for stack in STACKS:
            found = measured["trips"][stack][operation]
            kinds = ", ".join(f"{name} × {n}" if n > 1 else name for name, n in found["aws"].items())
            yield operation, TITLES[stack], kinds or NONE, str(found["database"]), str(found["in_sequence"])


def list_starts(measured: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each program that was started."""
    for program in STARTED:
        found = measured["starts"][program.name]
        parts = [f"{found[step]['value']:.0f}" for step in ("interpreter", *STEPS)]
        first = f"{found['first_call']['value']:.0f}" if "first_call" in found else NONE
        state = f"{found['warm_modules']['value']:.0f}", f"{found['warm_mb']['value']:.1f}"
        yield program.title, *parts, _format_whole(found["total"]), first, *state


def _format_whole(median: Mapping[str, Any]) -> str:
    interval = "" if median["low"] is None else f" ({median['low']:.0f} – {median['high']:.0f})"
    return f"{median['value']:.0f}{interval}"


def list_runtime(measured: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each stack under awslambdaric."""
    found = measured["runtime"]
    for stack, times in found["registration"].items():
        start = found["starts"][STACKS[stack]["registration"].name]
        yield TITLES[stack], format_time(times["wall_ms"]), format_time(times["cpu_ms"]), _format_whole(start)
    for name, title in (("health", "ours, health"), ("empty", "an empty handler")):
        yield title, NONE, NONE, _format_whole(found["starts"][name])


def list_parts(measured: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each of the largest parts of the layer."""
    for name, size in measured["sizes"]["largest_parts"].items():
        yield f"`{name}`", f"{size / MB:.1f}"


def list_packages(measured: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each function's package."""
    for name, size in measured["sizes"]["packages"].items():
        yield f"`{name}`", f"{size / 1000:.1f}"


def _name_delay(delay: str) -> str:
    return "no delay" if delay == "0" else f"{delay} ms"


def draw_calls(measured: Mapping[str, Any]) -> str:
    """Return the picture of registrations."""
    groups = {}
    for delay in DELAYS:
        rows = []
        for stack in STACKS:
            found = measured["calls"][stack]["registration"][delay]["wall_ms"]
            value = f"{found['value']:.1f} ms"
            rows.append(BarRow(TITLES[stack], [found["value"]], value, found["low"], found["high"]))
        groups["no delay" if delay == "0" else f"{delay} ms added to each round trip"] = rows
    return draw_bars("A registration, warm: median wall time", groups)


def draw_starts(measured: Mapping[str, Any]) -> str:
    """Return the picture of starts."""
    rows = []
    for program in STARTED:
        found = measured["starts"][program.name]
        parts = [found[part]["value"] for part in PARTS if part in found]
        rows.append(BarRow(program.title, parts, f"{sum(parts):.0f} ms"))
    legend = ["interpreter", "imports", "clients", "first connection", "first call"]
    return draw_bars("Start of a whole process, and its first call: medians", {"": rows}, legend)
