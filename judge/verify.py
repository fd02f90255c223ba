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
    signed = {
        name.removeprefix("report/"): digest.get("sha256")
        for name, digest in subjects.items()
        if name.startswith("report/")
    }
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

    @property
    def latency_ms(self) -> float:
        """Return the time from when the call was due."""
        return (self.done_s - self.due_s) * 1000

    @property
    def is_expected(self) -> bool:
        """Return whether the answer has a wanted status."""
        return self.status in self.wanted


def read_calls(folder: Path) -> list[SampledCall]:
    """Return all calls of the run. Raise OSError, ValueError or KeyError if the file can't be read."""
    with gzip.open(folder / "samples.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [
            SampledCall(
                line["scenario"],
                line["operation"],
                float(line["meant_s"]),
                float(line["sent_s"]),
                float(line["done_s"]),
                int(line["status"]),
                line["problem"],
                frozenset(map(int, line["wanted"].split())),
            )
            for line in csv.DictReader(file)
        ]


def compute_percentile(values: list[float], hundredths: int) -> float:
    """Return the smallest value that at least so many of a hundred do not exceed; 0 of none."""
    ranked = sorted(values)
    return ranked[max(0, -(-hundredths * len(ranked) // 100) - 1)] if ranked else 0.0


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
        findings.compare(
            "figures of calls", f"{title}, whether the generator sent anything", lag is not None, bool(values)
        )
        return
    computed = {
        "sends": len(values),
        "p50": compute_percentile(values, 50),
        "p99": compute_percentile(values, 99),
        "most": max(values),
        "bar": LAG_BAR_MS,
    }
    for name, value in computed.items():
        findings.compare("figures of calls", f"{title}, the generator's lag, {name}", lag[name], value)


def _verify_latency(title: str, reported: dict[str, Any], values: list[float], findings: ReportFindings) -> None:
    findings.compare("figures of calls", f"{title}, calls", reported["calls"], len(values))
    for hundredths in (50, 90, 95, 99):
        value = compute_percentile(values, hundredths)
        findings.compare("figures of calls", f"{title}, p{hundredths}", reported[f"p{hundredths}"], value)
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


# ---- the verdicts ----------------------------------------------------------------------------------------------------


def judge_scenario(result: dict[str, Any]) -> str:
    """Return a scenario's status, from its checks, calls, generator and reconciliation alone."""
    reconciliation, lag = result["reconciliation"], result["lag"]
    if reconciliation["differences"] or reconciliation["more_differences"]:
        return "FAIL"
    if (lag is not None and lag["p99"] > LAG_BAR_MS) or result["samples"] < result["samples_wanted"]:
        return "INVALID"
    if not all(check["passed"] for check in result["checks"]):
        return "FAIL"
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
        for call in calls:
            by_scenario[call.scenario].append(call)
        for result in report["results"]:
            verify_scenario(result, by_scenario[result["key"]], findings)
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
