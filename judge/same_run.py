"""Judge whether the files of a report are of one run: `python -m judge.same_run REPORT`.

`judge/verify.py` computes a report's figures and verdicts from its samples. This program compares what stands in more
than one of the files: samples, history, pages, settings, checks and results of controls. It finds what a harness that
is wrong, and signs it, would leave: a scenario without a result, a page of another run, a history that was cut. It
shares no code with what wrote the files, and ends with 1 if any two contradict each other.
"""

import argparse
import ast
import base64
import csv
import gzip
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from judge.page_text import compare_words, read_score

UNJUDGED = {"setup"}  # calls that prepare users, of no scenario
JUDGES_HISTORY = "histories"
NUMBER = re.compile(r"-?[\d,]*\.?\d+(?:e[+-]?\d+)?")
PUBLISHED = "full"

Document = dict[str, Any]


def find_contradictions(folder: Path) -> list[str]:
    """Return a sentence for each contradiction between the files of a report."""
    try:
        report = json.loads((folder / "report.json").read_bytes())
        calls = _read_samples(folder)
        found = [
            *compare_scenarios(report, calls),
            *compare_history(report, calls, folder),
            *compare_pages(report, folder),
            *compare_settings(report, folder),
            *compare_checks(report),
            *compare_controls(report),
        ]
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        return [f"the report can't be read: {type(error).__name__} {error}"]
    return found


def _read_samples(folder: Path) -> list[dict[str, str]]:
    with gzip.open(folder / "samples.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def compare_scenarios(report: Document, calls: list[dict[str, str]]) -> Iterator[str]:
    """Yield the scenarios that have calls and no result, and those that have two.

    Calls of "restore, setup" prepare the scenario "restore"; "capacity, before" are those to the compared system.
    """
    keys = Counter(result["key"] for result in report["results"])
    for key, count in sorted(Counter(call["scenario"].partition(", ")[0] for call in calls).items()):
        if key not in UNJUDGED and key not in keys:
            yield f"scenario {key}: it has {count} calls, and no result"
    yield from (f"scenario {key}: it has {count} results" for key, count in keys.items() if count > 1)


def compare_history(report: Document, calls: list[dict[str, str]], folder: Path) -> Iterator[str]:
    """Yield what the history lacks, and which of its calls are not among the samples."""
    path = folder / "history.jsonl.gz"
    if not path.exists():
        if any(result["key"] == JUDGES_HISTORY for result in report["results"]):
            yield "history: it was judged, and is not there"
        return
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    counts = Counter(line["type"] for line in lines[1:-1])
    if lines[-1] != {"type": "end", "lines": dict(sorted(counts.items()))}:
        yield "history: its last line does not count the others"
    told = [line for line in lines if line["type"] == "call"]
    if [line["id"] for line in told] != list(range(len(told))):
        yield "history: the numbers of its calls have gaps"
    sampled = Counter(_identify(c, float(c["sent_s"]), float(c["done_s"]), int(c["status"])) for c in calls)
    strange = Counter(_identify(line, line["begin"], line["end"], line["status"]) for line in told) - sampled
    if strange:
        yield f"history: {strange.total()} of its calls are no samples, the first of them {next(iter(strange))}"


def _identify(call: Document, began: float, ended: float, status: int) -> tuple[object, ...]:
    moments = round(began, 6), round(ended, 6)
    return call["scenario"], call["operation"], call["key"] or "", *moments, status, call["problem"]


def compare_pages(report: Document, folder: Path) -> Iterator[str]:
    """Yield what the pages tell a reader otherwise than report.json has it."""
    short = (folder / "report.md").read_text(encoding="utf-8")
    rows = Counter(f"{each['samples']:,} of {each['samples_wanted']:,}" for each in report["results"])
    for samples, count in rows.items():
        if sum(samples in line for line in short.splitlines()) < count:
            yield f"report.md: it does not show {samples} samples {count} times"
    verdict, _, score = short.splitlines()[0].partition(": ")
    if verdict.split()[-1:] != [report["verdict"]] or read_score(score) != [report["passed"], report["total"]]:
        told = f"{report['verdict']}, {report['passed']} of {report['total']}"
        yield f"report.md: its first line does not say {told}"
    page = (folder / "report.html").read_text(encoding="utf-8")
    yield from (f"report.html: {each}" for each in compare_words(report, page))


def compare_settings(report: Document, folder: Path) -> Iterator[str]:
    """Yield where the settings and the profile are not those that the statement says the run had."""
    statement = json.loads(base64.b64decode(json.loads((folder / "statement.json").read_bytes())["payload"]))
    signed = statement["predicate"]["configuration"]
    if signed != [{"name": f"profile {report['profile']}", "annotations": report["settings"]}]:
        yield f"settings: the report has {report['profile']} {report['settings']}, the statement {signed}"


def compare_checks(report: Document) -> Iterator[str]:
    """Yield checks that held although what was found is not what was wanted, as far as their texts say so."""
    for result in report["results"]:
        for check in result["checks"]:
            # One with evidence is computed again from its samples, by judge/verify.py.
            if check["passed"] and not check.get("evidence") and _is_missed(check):
                named = f"“{check['name']}” of {result['key']}"
                yield f"checks: {named} held, wanted {check['wanted']}, found {check['found']}"


def _is_missed(check: Document) -> bool:
    """Return whether what was found is certainly not what was wanted: a number beyond a bar, or another value."""
    wanted, found = str(check["wanted"]), str(check["found"])
    if check.get("exact"):
        return wanted != found
    if wanted[:1] in ("≤", "≥"):
        bar, value = (NUMBER.search(text) for text in (wanted, found))
        if bar is None or value is None:
            return value is None
        limit, number = (float(each[0].replace(",", "")) for each in (bar, value))
        return number > limit if wanted[0] == "≤" else number < limit
    return _is_value(wanted) and found != wanted and not found.startswith(f"{wanted} ")


def _is_value(text: str) -> bool:
    """Return whether a text is written as a value of Python, as one that is compared for equality is."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text == "none"
    return True


def compare_controls(report: Document) -> Iterator[str]:
    """Yield controls whose record contradicts itself, and a verdict that they don't support."""
    for each in report["controls"]:
        if each["detected"] != (
            each["outcome"] == "red" and each["status"] in ("FAIL", "INVALID") and each["red"] != ""
        ):
            yield f"controls: {each['name']} is recorded as detected: {each['detected']}, and turned {each['outcome']}"
    current = [each["detected"] and each["guards"] == each["guards_now"] for each in report["controls"]]
    if report["profile"] == PUBLISHED and report["verdict"] == "PASS" and not (current and all(current)):
        yield f"controls: PASS, though {current.count(False)} of {len(current)} are older than the code or not detected"


def main(arguments: list[str]) -> int:
    """Print what was found; return 0 only if nothing contradicts anything."""
    parser = argparse.ArgumentParser(prog="same_run", description=__doc__)
    parser.add_argument("report", type=Path, help="the folder of the report")
    found = find_contradictions(parser.parse_args(arguments).report)
    for sentence in found:
        print(f"✗ {sentence}")
    print("NOT OF ONE RUN" if found else "OF ONE RUN")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
