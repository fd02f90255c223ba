"""The words of report.html that a reader sees, compared with report.json.

Texts are compared as words in any order, since the page writes recorded lists and counts in its own way (`{201: 60}` is
“60 × 201”); numbers as numbers of three digits, to which the page rounds them.
"""

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from judge.page_elements import PageElement, read_page

WORD = re.compile(r"[^\s,;:()\[\]{}\"'“”]+")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?|∞|none|–")
NO_WORDS = {"×", "·"}
ROUNDED = 0.0051  # three digits: half of the last one, of a number that begins with 1.00
DELAY, OF_DELAY = "Delay of the load generator", ("p99", "bar", "p50", "most", "sends")
PERCENTILES = ("p50", "p90", "p95", "p99")
DIFFERENCE = ("what", "subject", "answered", "found")
UNDECIDED, NOTHING_NOTED = "undecided", ["Nothing was noted.", ""]
MORE = re.compile(rf"{UNDECIDED} (?:[\d,]+ samples? more|no number of samples that a run can have) would decide$")
MARKS = {"PASS": "●", "FAIL": "✕", "INVALID": "?", "SKIPPED": "○"}

Document = Mapping[str, Any]
Texts = tuple[str, object, object]  # what it is, as it is shown, as it should be
Numbers = tuple[object, str, list[float | None]]  # a name, a unit, and the numbers beside them


def compare_words(report: Document, text: str) -> Iterator[str]:
    """Yield what the page tells a reader otherwise than report.json has it."""
    page = read_page(text)
    articles, results = page.find_all("article"), report["results"]
    yield from _compare_texts(_pair_page(page, report, len(articles)))
    for article, result in zip(articles, results, strict=False):
        pairs = [*_pair_texts(article, result), *_pair_checks(article, result["checks"])]
        found = [*_compare_texts(pairs), *_compare_numbers(article, result)]
        yield from (f"{result['key']}: {each}" for each in found)


def _compare_texts(pairs: Iterable[Texts]) -> Iterator[str]:
    for what, shown, wanted in pairs:
        if list_words(shown) != list_words(wanted):
            yield f"{what}: it shows {shown!r}, report.json has {wanted!r}"


def list_words(text: object) -> list[str]:
    """Return the words of a text, or of several, sorted; of a recorded list or mapping those of what is in it."""
    if isinstance(text, list | tuple):
        return sorted(word for each in text for word in list_words(each))
    value = _read_value(text) if isinstance(text, str) else text
    leaves = [text] if isinstance(text, str) and value is text else _list_leaves(value)
    found = [word for leaf in leaves for word in WORD.findall(THOUSANDS.sub("", leaf))]
    return sorted(word for word in found if word not in NO_WORDS)


def _read_value(text: str) -> object:
    """Return the value that a text was written from, as Python writes it; the text itself if it was not."""
    if text[:1] not in ("{", "[", "("):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _list_leaves(value: object) -> Iterator[str]:
    if isinstance(value, bool):
        yield "yes" if value else "no"
    elif value is None or (isinstance(value, str | Mapping | Sequence | set) and not value):
        yield "none"
    elif isinstance(value, Mapping):
        yield from (leaf for pair in value.items() for each in pair for leaf in _list_leaves(each))
    elif isinstance(value, list | tuple | set):
        yield from (leaf for each in value for leaf in _list_leaves(each))
    else:
        yield str(value)


def _pair_page(page: PageElement, report: Document, scenarios: int) -> Iterator[Texts]:
    """Yield the texts that are no scenario's."""
    head = next(iter(page.find_all("header")), page)
    yield "the verdict", head.read("span", "badge-word"), [MARKS[report["verdict"]], report["verdict"]]
    yield "the score", read_score(page.read("h1")), [report["passed"], report["total"]]
    yield "the number of scenarios", scenarios, len(report["results"])
    parts = [part for part in page.find_all("section", "about") if part.read("h2") == "Conditions"]
    noted = [pair for part in parts for pair in part.read_pairs("pairs") if pair != NOTHING_NOTED]
    wanted = [*report["environment"].items(), *report["settings"].items()]
    yield "the number of conditions", len(noted), len(wanted)
    for pair, (name, value) in zip(noted, wanted, strict=False):
        yield (
            "a condition",
            pair,
            [name, value if isinstance(value, str) else list(_list_leaves(value)) if value != {} else ""],
        )
    rows = page.read_rows("controls")
    yield "the number of controls", len(rows), len(report["controls"])
    for (name, red, _), control in zip(rows, report["controls"], strict=False):
        current = control["detected"] and control["guards"] == control["guards_now"]
        wanted_name = ["●" if current else "?", control["why"], control["name"], "scenario", control["scenario"]]
        yield "a control", name, wanted_name
        if current:
            more = f"and {len(control['others'])} more" if control["others"] else "alone"
            yield f"what turned red for {control['name']}", red, [control["red"], more]


def read_score(headline: str) -> list[int]:
    """Return how many promises hold, of how many, by the first line of the page."""
    if headline.startswith("The promise holds"):
        return [1, 1]
    numbers = [int(number) for number in re.findall(r"\d+", headline)] or [0]
    return [numbers[0] if headline.startswith(("All", str(numbers[0]))) else 0, numbers[-1]]


def _pair_texts(article: PageElement, result: Document) -> Iterator[Texts]:
    """Yield the texts of a scenario, but those of its checks."""
    yield "the title", article.read("h2"), result["title"]
    yield "the promise", article.read("p", "promise"), result["promise"]
    yield "the status", article.read("span", "badge-word"), [MARKS[result["status"]], result["status"]]
    is_short = result["samples"] < result["samples_wanted"] and result["status"] != "SKIPPED"
    samples = [f"{result['samples']} of {result['samples_wanted']} wanted", "too few" if is_short else ""]
    yield "the samples", [text for name, text in article.read_pairs() if name == "Samples"][:1], samples
    delays = [text for name, text in article.read_pairs() if name.startswith(DELAY)]
    is_late = [each["p99"] > each["bar"] for each in (result["lag"],) if each]
    yield "whether the load generator was late", ["too late" in text for text in delays], is_late
    yield "the notes", [each.text for ul in article.find_all("ul", "notes") for each in ul.elements], result["notes"]
    reconciliation = result["reconciliation"]
    differences = [[each[name] for name in DIFFERENCE] for each in reconciliation["differences"]]
    yield "the differences", article.read_rows("differences"), differences
    compared = [paragraph.read("span", "dim") for paragraph in article.find_all("p", "reconciliation")]
    yield "what was compared", compared, [[*pair] for pair in reconciliation["compared"].items()]
    yield "the answers", article.read_pairs("bars"), [[*pair] for pair in result["answers"].items()]


def _pair_checks(article: PageElement, checks: Sequence[Document]) -> Iterator[Texts]:
    """Yield the texts of each check: its mark and name, what was wanted, and what was found."""
    rows, wanted = article.read_rows("checks"), _fold_checks(checks)
    yield "the number of rows of checks", len(rows), len(wanted)
    for (name, bar, found), of_row in zip(rows, wanted, strict=False):
        check, each = of_row[0], [check["found"] for check in of_row]
        mark = "✓" if check["passed"] else "?" if check["undecided"] else "✕"
        yield "a check", name, [mark, check["name"], f"{len(each)} times" if len(each) > 1 else ""]
        yield f"“{check['name']}”, wanted", bar, check["wanted"]
        after = "each time" if len(each) > 1 and len(set(each)) == 1 else ""
        if not check["passed"]:
            after = UNDECIDED if check["undecided"] else "failed"
        # How many samples more would decide it is no fact of the run.
        shown = MORE.sub(UNDECIDED, found) if after == UNDECIDED else found
        yield f"“{check['name']}”, found", shown, [*(each[:1] if after == "each time" else each), after]


def _fold_checks(checks: Sequence[Document]) -> list[list[Document]]:
    """Return the checks of each row: one that held in several rounds has one row, one that did not has its own."""
    rows: list[list[Document]] = []
    held: dict[tuple[str, str], list[Document]] = {}
    for check in checks:
        name = check["name"], check["wanted"]
        if check["passed"] and name in held:
            held[name].append(check)
            continue
        rows.append([check])
        if check["passed"]:
            held[name] = rows[-1]
    return rows


def _compare_numbers(article: PageElement, result: Document) -> Iterator[str]:
    """Yield the figures, latencies and the generator's delay that are shown as other numbers, or of other names."""
    lag, pairs = result["lag"], article.read_pairs()
    figures: list[Numbers] = [
        ([each["name"], each["note"]], each["unit"], _list_ends(each["value"], _read_interval(each["estimate"])))
        for each in result["figures"]
    ]
    latencies: list[Numbers] = [
        (each["operation"], "", [each["calls"], *_list_percentiles(each), each["most"]]) for each in result["latencies"]
    ]
    delays: list[Numbers] = [(f"{DELAY}, p99", "", [lag[name] for name in OF_DELAY])] if lag else []
    for what, found, facts in (
        ("figure", article.read_pairs("numbers", without="bars"), figures),
        ("latency", [[row[0], "  ".join(row[1:])] for row in article.read_rows("latencies")], latencies),
        ("delay", [pair for pair in pairs if pair[0].startswith(DELAY)], delays),
    ):
        if len(found) != len(facts):
            yield f"it shows {len(found)} times a {what}, report.json has {len(facts)}"
        for (name, text), (wanted_name, unit, numbers) in zip(found, facts, strict=False):
            if list_words(name) != list_words(wanted_name):
                yield f"a {what}: it is shown as {name!r}, report.json has {wanted_name!r}"
            if not _are_shown(text, unit, numbers):
                yield f"{name}: it shows {text!r}, report.json has {numbers} {unit}"


def _list_percentiles(latency: Document) -> list[float | None]:
    ends = latency["intervals"]
    return [number for name in PERCENTILES for number in _list_ends(latency[name], ends.get(name, []))]


def _read_interval(estimate: Document | None) -> list[Any]:
    return [estimate["low"], estimate["high"]] if estimate else []


def _list_ends(value: Any, ends: Sequence[Any]) -> list[float | None]:
    """Return the numbers that stand for a value with its interval; one without an upper end has only its lower."""
    limits = [float(end) for end in ends]  # one that is infinite is a text in report.json
    return [None if value is None else float(value), *limits[:1], *(end for end in limits[1:] if end != math.inf)]


def _are_shown(text: str, unit: str, numbers: Sequence[float | None]) -> bool:
    """Return whether a text shows these numbers, in this order, and their unit."""
    found = NUMBER.findall(text.replace(unit, " ", 1) if unit else text)
    if not set(unit.split()) <= set(text.split()) or len(found) != len(numbers):
        return False
    return all(_is_shown(*pair) for pair in zip(found, numbers, strict=True))


def _is_shown(shown: str, number: float | None) -> bool:
    if number is None or not math.isfinite(number):
        return shown == ("–" if number is None else "∞" if number == math.inf else "none")
    try:
        return math.isclose(float(shown.replace(",", "")), number, rel_tol=ROUNDED, abs_tol=1e-9)
    except ValueError:
        return False
