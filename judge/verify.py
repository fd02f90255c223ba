"""Judge a report again from its raw files: `python judge/verify.py REPORT [--signer PUBLIC_KEY]`.

The program shares no code with the harness that wrote the report. It checks the signature over the report's files,
computes each figure and verdict from the raw files, and prints what differs from the report. It ends with 1 if anything
does.
"""

import argparse
import base64
import binascii
import csv
import gzip
import hashlib
import json
import math
import random
import sys
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

PAYLOAD_TYPE = "application/vnd.in-toto+json"
RESULTS = {"PASS": "PASSED", "FAIL": "FAILED", "INVALID": "WARNED", "SKIPPED": "WARNED"}
WORST_FIRST = ("FAIL", "INVALID", "SKIPPED", "PASS")
LAG_BAR_MS = 50.0
TAIL = 0.025  # beyond each end of an interval at 95 %
DRAWS = 1000  # of a bootstrap; another's ends at 2.5 and 97.5 % lie between these quantiles, but once in 100,000 times
LOW_END, HIGH_END = (0.002, 0.06), (0.94, 0.998)
BUCKETS_MS = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 250, 350, 500, 750, 1000, 2000, 5000, 10_000, 30_000)


@dataclass
class ReportFindings:
    """The number of comparisons by kind, and a sentence for each that did not agree."""

    compared: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def compare(self, kind: str, what: str, reported: object, computed: object) -> None:
        """Note a difference between what is reported and what was computed."""
        self.compared[kind] += 1
        if not _is_same(reported, computed):
            self.faults.append(f"{what}: the report says {reported!r}, its raw files say {computed!r}")


def _is_same(one: object, other: object) -> bool:
    """Return whether two values are the same; numbers may differ by what a decimal notation rounds off."""
    if isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return one == other


# ---- the signature ---------------------------------------------------------------------------------------------------
def verify_statement(folder: Path, signer: Path, findings: ReportFindings) -> dict[str, Any]:
    """Return the statement, once its signature and every file's digest are checked; empty if it can't be trusted."""
    try:
        envelope = json.loads((folder / "statement.json").read_bytes())
        payload = base64.b64decode(envelope["payload"], validate=True)
        [signature] = envelope["signatures"]
        public = signer.read_bytes()
        _load_key(public).verify(base64.b64decode(signature["sig"], validate=True), _encode_for_signing(payload))
        statement: dict[str, Any] = json.loads(payload)
    except (OSError, ValueError, KeyError, TypeError, InvalidSignature, binascii.Error) as error:
        findings.faults.append(f"statement.json: not signed by this key ({type(error).__name__} {error})".rstrip())
        return {}
    # Outside of what is signed, an envelope could carry anything.
    expected = {"payloadType": PAYLOAD_TYPE, "payload": envelope["payload"]}
    expected["signatures"] = [{"keyid": hashlib.sha256(public).hexdigest(), "sig": signature["sig"]}]
    findings.compare("files", "statement.json, around its payload", envelope, expected)
    text = json.dumps(envelope, indent=1) + "\n"
    findings.compare("files", "statement.json, byte by byte", (folder / "statement.json").read_text("utf-8"), text)
    _verify_files(folder, statement, findings)
    return statement


def _load_key(public: bytes) -> Ed25519PublicKey:
    key = load_pem_public_key(public)
    if not isinstance(key, Ed25519PublicKey):
        raise TypeError("the key is not an Ed25519 key")
    return key


def _encode_for_signing(payload: bytes) -> bytes:
    kind = PAYLOAD_TYPE.encode()
    return b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])


def _verify_files(folder: Path, statement: dict[str, Any], findings: ReportFindings) -> None:
    """Check that the folder has exactly the signed files, each as it was signed."""
    subjects = {each["name"]: each["digest"] for each in statement["subject"]}
    ours = [name for name in subjects if name.startswith("report/")]
    signed = {name.removeprefix("report/"): subjects[name].get("sha256") for name in ours}
    present = {path.name for path in folder.iterdir() if path.is_file()} - {"statement.json"}
    findings.compare("files", "the names of the files", sorted(signed), sorted(present))
    for name in sorted(present & signed.keys()):
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        findings.compare("files", f"{name}, its digest", signed[name], digest)


# ---- the calls -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class SampledCall:
    """One line of samples.csv.gz."""

    scenario: str
    operation: str
    due_s: float
    sent_s: float
    done_s: float
    status: int
    problem: str
    wanted: frozenset[int]
    number: int

    @property
    def latency_ms(self) -> float:
        """Return the time from when the call was due."""
        return (self.done_s - self.due_s) * 1000

    @property
    def is_expected(self) -> bool:
        """Return whether the answer has a wanted status."""
        return self.status in self.wanted


COLUMNS: dict[str, Callable[[str], Any]] = {
    "scenario": str, "operation": str, "meant_s": float, "sent_s": float, "done_s": float, "status": int,
    "problem": str, "wanted": lambda statuses: frozenset(map(int, statuses.split())), "number": int,
}  # fmt: skip


def read_calls(folder: Path) -> list[SampledCall]:
    """Return all calls of the run. Raise OSError, ValueError or KeyError if the file can't be read."""
    with gzip.open(folder / "samples.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [SampledCall(*(read(line[name]) for name, read in COLUMNS.items())) for line in csv.DictReader(file)]


def compute_percentile(values: list[float], hundredths: float) -> float:
    """Return the smallest value that at least `hundredths` percent of all do not exceed; 0 of none."""
    ranked = sorted(values)
    return ranked[max(0, -(-round(10 * hundredths) * len(ranked) // 1000) - 1)] if ranked else 0.0


def compute_probability(events: int, trials: int, share: float) -> float:
    """Return the probability of exactly this number of events if each trial has one with a probability of `share`."""
    if share in (0, 1):
        return float(events == trials * share)
    ways = math.lgamma(trials + 1) - math.lgamma(events + 1) - math.lgamma(trials - events + 1)
    return math.exp(ways + events * math.log(share) + (trials - events) * math.log1p(-share))


def bound_percentile(values: list[float], hundredths: float) -> tuple[float, float]:
    """Return the samples between which a percentile lies at 95 %; infinity where there are too few.

    The number of samples up to it is binomial, whatever their distribution.
    """
    ranked, first, below = [-math.inf, *sorted(values), math.inf], None, 0.0
    for rank in range(len(values) + 1):
        below += compute_probability(rank, len(values), hundredths / 100)
        if first is None and below >= TAIL:
            first = rank
        if below >= 1 - TAIL:
            return ranked[first or 0], ranked[rank + 1]
    return -math.inf, math.inf


def is_enough(count: int, hundredths: float) -> bool:
    """Return whether `count` samples give a percentile an interval with two ends."""
    return max(hundredths / 100, 1 - hundredths / 100) ** count <= TAIL


def verify_scenario(result: dict[str, Any], calls: list[SampledCall], findings: ReportFindings) -> None:
    """Compare a scenario's figures with those of its calls."""
    title = result["key"]
    findings.compare("figures of calls", f"{title}, number of calls", result["samples"], len(calls))
    answers = Counter(f"{call.status or 'no answer'} {call.problem}".strip() for call in calls)
    findings.compare("figures of calls", f"{title}, answers", result["answers"], dict(answers))
    _verify_lag(title, result["lag"], [(call.sent_s - call.due_s) * 1000 for call in calls], findings)
    by_operation: defaultdict[str, list[float]] = defaultdict(list)
    for call in calls:
        if call.status in (200, 201):
            by_operation[call.operation].append(call.latency_ms)
    reported = {each["operation"]: each for each in result["latencies"]}
    findings.compare("figures of calls", f"{title}, operations", sorted(reported), sorted(by_operation))
    for operation in sorted(reported.keys() & by_operation.keys()):
        _verify_latency(f"{title}, {operation}", reported[operation], by_operation[operation], findings)


def _verify_lag(title: str, lag: dict[str, Any] | None, values: list[float], findings: ReportFindings) -> None:
    if lag is None or not values:
        findings.compare("figures of calls", f"{title}, whether anything was sent", lag is not None, bool(values))
        return
    reported = [lag[name] for name in ("sends", "p50", "p99", "most", "bar")]
    computed = [len(values), *(compute_percentile(values, each) for each in (50, 99)), max(values), LAG_BAR_MS]
    findings.compare("figures of calls", f"{title}, the generator's lag", reported, computed)


def _verify_latency(title: str, reported: dict[str, Any], values: list[float], findings: ReportFindings) -> None:
    findings.compare("figures of calls", f"{title}, calls", reported["calls"], len(values))
    for hundredths in (50, 90, 95, 99):
        shown = is_enough(len(values), hundredths)
        value = compute_percentile(values, hundredths) if shown else None
        ends = list(bound_percentile(values, hundredths)) if shown else None
        found = [reported[f"p{hundredths}"], reported["intervals"].get(f"p{hundredths}")]
        findings.compare("figures of calls", f"{title}, p{hundredths} and its interval", found, [value, ends])
    findings.compare("figures of calls", f"{title}, slowest", reported["most"], max(values))
    histogram = [0] * (len(BUCKETS_MS) + 1)
    for value in values:
        histogram[sum(value > most for most in BUCKETS_MS)] += 1
    findings.compare("figures of calls", f"{title}, histogram", reported["histogram"], histogram)


def verify_timeline(report: dict[str, Any], calls: list[SampledCall], findings: ReportFindings) -> None:
    """Compare the answers a second with those of the calls."""
    kinds: dict[str, Callable[[SampledCall], bool]] = {
        "throughput": lambda _: True,
        "errors": lambda call: not call.is_expected,
        "refused": lambda call: call.is_expected and call.status == 429,
    }
    for name, is_counted in kinds.items():
        counts = Counter(int(call.done_s) for call in calls if is_counted(call))
        points = [[float(second), float(counts[second])] for second in range(len(report["timeline"][name]))]
        findings.compare("figures of calls", f"timeline, {name}", report["timeline"][name], points)


# ---- the checks that an interval decides -----------------------------------------------------------------------------
def verify_check(title: str, check: dict[str, Any], calls: dict[int, SampledCall], findings: ReportFindings) -> None:
    """Compute a check again from the samples that it names, if it names any, and compare its figure and outcome."""
    evidence, outcome = check["evidence"], [check["passed"], check["undecided"]]
    if evidence is None:
        findings.compare("checks", f"{title}, outcome without evidence", outcome, [check["passed"], False])
        return
    one, other = (_list_calls(evidence[name], calls) for name in ("samples", "others"))
    if evidence["kind"] == "statuses":
        found = dict(Counter(str(call.status) for call in one))
        findings.compare("checks", f"{title}, outcome", outcome, [found == evidence["wanted"], False])
        return
    values = [call.latency_ms for call in one] + evidence["values"]
    others = [call.latency_ms for call in other] + evidence["other_values"]
    estimate, hundredths = check["estimate"], 100 * evidence["percentile"]
    reported = [float(estimate[name]) for name in ("value", "low", "high", "samples")] if estimate else []
    if evidence["kind"] == "share":
        trials = int(evidence["values"][0]) if evidence["values"] else len(one)
        events = int(evidence["other_values"][0]) if evidence["other_values"] else len(other)
        strange = sorted(call.number for call in set(other) - set(one))
        findings.compare("checks", f"{title}, events that are not among its trials", [], strange)
        ends = _verify_share(title, events, trials, reported, findings)
    elif evidence["kind"] == "percentile":
        ends = bound_percentile(values, hundredths)
        figure = [compute_percentile(values, hundredths), *ends, len(values)]
        findings.compare("checks", f"{title}, figure", reported, figure if is_enough(len(values), hundredths) else [])
    else:
        ends = _verify_ratio(title, values, others, hundredths, reported, findings)
    # Turned round, "at least" is "at most".
    low, high, bar = (
        (*ends, evidence["bar"]) if evidence["side"] == "at most" else (-ends[1], -ends[0], -evidence["bar"])
    )
    findings.compare("checks", f"{title}, outcome", outcome, [high <= bar, low <= bar < high])


def _list_calls(ranges: str, calls: dict[int, SampledCall]) -> list[SampledCall]:
    ends = [(int(first), int(last or first)) for first, _, last in (each.partition("-") for each in ranges.split())]
    return [calls[number] for first, last in ends for number in range(first, last + 1)]


def _verify_share(title: str, events: int, trials: int, reported: Any, findings: ReportFindings) -> tuple[float, float]:
    """Check that at each end of the interval so few, or so many, events have the probability that an end stands for."""
    if not (reported and trials):
        findings.compare("checks", f"{title}, figure of {trials} trials", bool(reported), bool(trials))
        return 0.0, 1.0
    tail, (value, low, high, samples) = 2 * TAIL if events in (0, trials) else TAIL, reported
    so_many = sum(compute_probability(count, trials, low) for count in range(events, trials + 1))
    so_few = sum(compute_probability(count, trials, high) for count in range(events + 1))
    found = [value, samples, round(so_many, 6) if events else low, round(so_few, 6) if events < trials else high]
    wanted = [events / trials, trials, tail if events else 0.0, tail if events < trials else 1.0]
    findings.compare("checks", f"{title}, figure, and the tails of its interval", found, wanted)
    return low, high


def _verify_ratio(
    title: str, above: list[float], below: list[float], hundredths: float, reported: Any, findings: ReportFindings
) -> tuple[float, float]:
    """Check a ratio of percentiles, and its interval by drawing from the samples as a bootstrap does.

    A percentile of n draws is the sample at a random place, and the place, as a part of n, has a beta distribution.
    """
    enough = is_enough(min(len(above), len(below)), hundredths)
    if not (reported and enough):
        findings.compare("checks", f"{title}, figure", bool(reported), enough)
        return -math.inf, math.inf
    dice, sides = random.Random(len(above)), (sorted(above), sorted(below))  # noqa: S311 - no secret is drawn
    ranks = [-(-round(10 * hundredths) * len(side) // 1000) for side in sides]

    def draw(side: list[float], rank: int) -> float:
        return side[min(int(dice.betavariate(rank, len(side) - rank + 1) * len(side)), len(side) - 1)]

    value, low, high, samples = reported
    drawn = sorted(a / b if b else math.inf for a, b in (map(draw, sides, ranks) for _ in range(DRAWS)))
    a, b = (side[rank - 1] for side, rank in zip(sides, ranks, strict=True))
    computed = [a / b if b else math.inf, len(above) + len(below)]
    findings.compare("checks", f"{title}, figure", [value, samples], computed)
    for end, places in ((low, LOW_END), (high, HIGH_END)):
        least, most = (drawn[int(place * DRAWS)] for place in places)
        findings.compare("checks", f"{title}, an end of its interval", end, min(max(end, least), most))
    return low, high


# ---- the verdicts ----------------------------------------------------------------------------------------------------
def judge_scenario(result: dict[str, Any]) -> str:
    """Return a scenario's status, from its checks, calls, generator and reconciliation alone."""
    reconciliation, lag = result["reconciliation"], result["lag"]
    if reconciliation["differences"] or reconciliation["more_differences"]:
        return "FAIL"
    if (lag is not None and lag["p99"] > LAG_BAR_MS) or result["samples"] < result["samples_wanted"]:
        return "INVALID"
    if not all(check["passed"] or check["undecided"] for check in result["checks"]):
        return "FAIL"
    if any(check["undecided"] for check in result["checks"]):
        return "INVALID"
    return "PASS" if result["checks"] and sum(reconciliation["compared"].values()) else "INVALID"


def judge_controls(report: dict[str, Any]) -> list[str]:
    """Return INVALID for a full run, unless all of its controls were detected in the code that it drove."""
    current = [each["detected"] and each["guards"] == each["guards_now"] for each in report["controls"]]
    return ["INVALID"] if report["profile"] == "full" and not (current and all(current)) else []


def verify_verdicts(report: dict[str, Any], statement: dict[str, Any], findings: ReportFindings) -> None:
    """Compare each scenario's status, the run's verdict and its score with the rules, and with the statement."""
    statuses = {result["key"]: judge_scenario(result) for result in report["results"]}
    for result in report["results"]:
        findings.compare("verdicts", f"{result['key']}, status", result["status"], statuses[result["key"]])
    found = [*statuses.values(), *judge_controls(report)]
    verdict = next((status for status in WORST_FIRST if status in found), "INVALID")
    findings.compare("verdicts", "the run's verdict", report["verdict"], verdict)
    passed = sum(status == "PASS" for status in statuses.values())
    findings.compare("verdicts", "the score", [report["passed"], report["total"]], [passed, len(statuses)])
    if statement:
        predicate = statement["predicate"]
        findings.compare("verdicts", "the statement's result", predicate["result"], RESULTS[verdict])
        for name, word in (("passedTests", "PASSED"), ("warnedTests", "WARNED"), ("failedTests", "FAILED")):
            keys = [key for key, status in statuses.items() if RESULTS[status] == word]
            findings.compare("verdicts", f"the statement's {name}", predicate[name], keys)


def verify_report(folder: Path, signer: Path) -> ReportFindings:
    """Return what was compared and what differs."""
    findings = ReportFindings()
    statement = verify_statement(folder, signer, findings)
    try:
        report = json.loads((folder / "report.json").read_bytes())
        calls = read_calls(folder)
        by_scenario: defaultdict[str, list[SampledCall]] = defaultdict(list)
        numbered = {call.number: call for call in calls}
        findings.compare("figures of calls", "numbers of the samples", sorted(numbered), list(range(1, len(calls) + 1)))
        for call in calls:
            by_scenario[call.scenario].append(call)
        for result in report["results"]:
            verify_scenario(result, by_scenario[result["key"]], findings)
            for check in result["checks"]:
                verify_check(f"{result['key']}, {check['name']}", check, numbered, findings)
        verify_timeline(report, calls, findings)
        verify_verdicts(report, statement, findings)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        findings.faults.append(f"the report can't be read: {type(error).__name__} {error}")
    return findings


def main(arguments: list[str]) -> int:
    """Print what was found; return 0 only if all agrees."""
    parser = argparse.ArgumentParser(prog="verify", description=__doc__)
    parser.add_argument("report", type=Path, help="the folder of the report")
    parser.add_argument("--signer", type=Path, help="the public key to trust; default signer.pub of the folder itself")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    findings = verify_report(options.report, options.signer or options.report / "signer.pub")
    for fault in findings.faults:
        print(f"✗ {fault}")
    for kind, count in findings.compared.items():
        print(f"{count} {kind} compared")
    if options.signer is None:
        print("The key is the report's own: name a key you trust with --signer to know who signed it.")
    print(f"{'NOT VERIFIED' if findings.faults else 'VERIFIED'} in {time.monotonic() - began:.1f} s")
    return 1 if findings.faults or not findings.compared else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
