"""docs/reference/capacity.md and its pictures, made of measurements/capacity.json, and the table on the terminal."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.capacity.processor_time import GROUPS
from bench.capacity.turns import OUTCOMES, RAMP_S, WINDOW_S
from bench.capacity.users import MOST_PAUSE_S
from bench.charts import BarRow, draw_bars
from bench.page import NONE, ROOT, format_table
from stress.report.formatting import format_count, format_number

MEASURED = ROOT / "measurements/capacity.json"
PAGE = ROOT / "docs/reference/capacity.md"
TEMPLATE = Path(__file__).with_name("page.md")
PERCENTILES = ("p50", "p95", "p99")
SIGNS = {"at most": "≤", "at least": "≥"}
# The picture has a colour for each of five parts.
PARTS = {
    "the service": ("functions", "jobs"),
    "gateway and database proxy": ("gateway", "proxy"),
    "PostgreSQL": ("postgres",),
    "AWS emulator": ("emulator",),
    "load generator": ("generator",),
}
LEVEL_HEAD = ("Users", "Calls", "Served a second", "429", "503", "Other", "p50 ms", "p95 ms", "p99 ms")


def read_measured() -> dict[str, Any]:
    """Return what the last kept run has measured."""
    measured: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return measured


def write_page(measured: Mapping[str, Any]) -> None:
    """Write the page and its pictures."""
    for path, text in build_files(measured).items():
        path.write_text(text, encoding="utf-8")


def build_files(measured: Mapping[str, Any]) -> dict[Path, str]:
    """Return the text of each generated file."""
    parts = {
        "run": describe_run(measured),
        "verdict": measured["verdict"],
        "figures": format_table(("Figure", "Measured", "95 %", "Bar", ""), list_figures(measured["figures"])),
        "levels": format_table(LEVEL_HEAD, list_levels(measured["levels"])),
        "knee": describe_knee(measured["curve"]),
        "processor": format_table(("Users", *GROUPS.values(), "Together"), list_processor_times(measured)),
        "refusals": describe_refusals(measured["refusals"]),
        "earlier": describe_earlier(measured["earlier"]),
        "turns": f"{RAMP_S + WINDOW_S:g} s, of which the first {RAMP_S:g} s don't count",
        "pause": f"{MOST_PAUSE_S:g}",
        "members": str(measured["run"]["members"]),
        "changed": ", ".join(f"`{name}` {value}" for name, value in measured["changed_settings"].items()),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    pictures = {
        MEASURED.with_name("capacity-calls.svg"): draw_calls(measured["levels"]),
        MEASURED.with_name("capacity-latency.svg"): draw_latencies(measured["levels"]),
        MEASURED.with_name("capacity-processor.svg"): draw_processor_times(measured["levels"]),
    }
    return {PAGE: text, **pictures}


def describe_run(measured: Mapping[str, Any]) -> str:
    """Return what was measured where, in a sentence."""
    run = measured["run"]
    return (
        f"Measured on {run['at']} at commit `{run['commit']}` in {run['seconds']} s: {run['processors']} processors, "
        f"Python {run['python']}, seed {run['seed']}, {format_count(run['rounds'], 'round')} of all numbers of users."
    )


def describe_knee(curve: Mapping[str, Any]) -> str:
    """Return where the knee is, and what was measured beyond it."""
    if curve["knee_users"] is None:
        return "There were too few rounds to find the knee."
    found = (
        f"The knee is at **{format_interval(curve['knee_users'])} users**; most was served with {curve['peak_users']}. "
    )
    if curve["beyond_users"] is None:
        return found + "Three times its users were not measured."
    kept = NONE if curve["kept_share"] is None else format_interval(curve["kept_share"])
    return found + f"With {curve['beyond_users']} users, three times the knee's or more, {kept} of the peak was served."


def describe_refusals(refusals: Mapping[str, Any]) -> str:
    """Return how many calls were refused, and how."""
    others = ", ".join(f"{answer} × {count}" for answer, count in refusals["unexplained"].items()) or "none"
    return (
        f"429: {refusals['429']}, 503: {refusals['503']}, of these without Retry-After: "
        f"{refusals['without_retry_after']}. Answers that are neither a success nor such a refusal: {others}."
    )


def describe_earlier(earlier: Mapping[str, Any]) -> str:
    """Return what the comparison with the earlier commit has found."""
    if not earlier.get("present"):
        return "This run was compared with no earlier commit."
    rates = {side: earlier[side]["rate"] for side in ("present", "earlier")}
    present, before = (NONE if rate is None else format_interval(rate) for rate in rates.values())
    turns = len(earlier["present"]["turns"])
    ratio = NONE if earlier["ratio"] is None else format_interval(earlier["ratio"])
    return (
        f"Commit `{earlier['commit'][:12]}` served {before} calls a second, the present code {present}: "
        f"**{ratio} ×**, in {turns} turns of each."
    )


def format_interval(estimate: Mapping[str, Any]) -> str:
    """Return a value with its interval."""
    return f"{format_number(estimate['value'])} ({format_number(estimate['low'])} – {format_number(estimate['high'])})"


def list_figures(figures: Iterable[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """Yield a row for each figure with its bar."""
    for figure in figures:
        value = NONE if figure["value"] is None else format_number(figure["value"])
        interval = (
            NONE if figure["low"] is None else f"{format_number(figure['low'])} – {format_number(figure['high'])}"
        )
        outcome = figure["outcome"] if figure["outcome"] == "PASS" else f"**{figure['outcome']}**"
        yield figure["name"], value, interval, f"{SIGNS[figure['side']]} {figure['bar']:g}", outcome


def format_outcome(figure: Mapping[str, Any]) -> str:
    """Return a figure as a line of the terminal."""
    name, value, interval, bar, outcome = next(list_figures([figure]))
    return f"{name:<80} {value:>7}  {interval:<15} bar {bar:<6} {outcome.strip('*')}"


def list_levels(levels: Iterable[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """Yield a row for each number of users: calls a second by outcome, and percentiles of those served."""
    for level in levels:
        rates = [format_number(level["a_second"][name]) for name in OUTCOMES]
        served = rates[0] if level["served"] is None else format_interval(level["served"])
        latencies = [level["latency_ms"][name] for name in PERCENTILES]
        shown = [NONE if each is None else format_interval(each) for each in latencies]
        yield str(level["users"]), str(level["calls"]), served, *rates[1:], *shown


def list_terminal_rows(measured: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the table that is printed at the end of a run."""
    head = ("users", "served/s", "429/s", "503/s", "other/s", *PERCENTILES, "ours", "database", "emulator", "generator")
    yield "  ".join(f"{name:>9}" for name in head) + "   (latencies in ms, processor time in ms a call)"
    for level in measured["levels"]:
        times = level["processor_ms"]
        ours = times["functions"] + times["jobs"]
        latencies = [NONE if (each := level["latency_ms"][name]) is None else format_number(each["value"])
                     for name in PERCENTILES]  # fmt: skip
        shown = (ours, times["postgres"], times["emulator"], times["generator"])
        cells = [*(format_number(level["a_second"][name]) for name in OUTCOMES), *latencies, *map(format_number, shown)]
        yield "  ".join(f"{cell:>9}" for cell in (level["users"], *cells))
    yield describe_knee(measured["curve"]).replace("*", "")


def list_processor_times(measured: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each number of users, and one for a second in which nobody calls."""
    for level in measured["levels"]:
        yield _format_times(str(level["users"]), level["processor_ms"])
    yield _format_times("none, a second", measured["idle_processor_ms"])


def _format_times(label: str, times: Mapping[str, float]) -> Sequence[str]:
    return [label, *(format_number(times[group]) for group in GROUPS), format_number(sum(times.values()))]


def draw_calls(levels: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture of calls a second by outcome."""
    rows = []
    for level in levels:
        parts = [level["a_second"][name] for name in OUTCOMES]
        served = level["served"] or {"low": None, "high": None}
        value = f"{format_number(parts[0])} served"
        rows.append(BarRow(format_count(level["users"], "user"), parts, value, served["low"], served["high"]))
    legend = ("served", "refused by 429", "refused by 503", "anything else")
    return draw_bars("Calls a second, by what became of them", {"": rows}, legend)


def draw_latencies(levels: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture of latencies, of the percentiles that have enough calls."""
    groups = {}
    for name in PERCENTILES:
        found = [(level["users"], level["latency_ms"][name]) for level in levels]
        groups[name] = [
            BarRow(format_count(users, "user"), [each["value"]], f"{format_number(each['value'])} ms", each["low"],
                   each["high"])
            for users, each in found if each is not None
        ]  # fmt: skip
    return draw_bars("Latency of the calls served, in ms", {name: rows for name, rows in groups.items() if rows})


def draw_processor_times(levels: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture of the processor time of a call."""
    rows = []
    for level in levels:
        times = [sum(level["processor_ms"][group] for group in groups) for groups in PARTS.values()]
        rows.append(BarRow(format_count(level["users"], "user"), times, f"{sum(times):.1f} ms"))
    return draw_bars("Processor time of a call, with its jobs, in ms", {"": rows}, tuple(PARTS))
