"""The raw samples, to check the report's summaries: one line for each call, without personal data."""

import csv
import gzip
from collections.abc import Iterable
from pathlib import Path

from stress.ledger import ACCEPTED, CallSample

FILE = "samples.csv.gz"
COLUMNS = ("number", "scenario", "operation", "method", "client", "attempt", "meant_s", "sent_s", "done_s", "status",
           "problem", "wanted", "right", "replayed", "subject", "key")  # fmt: skip


def write_samples(samples: Iterable[CallSample], path: Path) -> None:
    """Write the samples as gzipped CSV. Checks name their samples by the number of the line, from 1."""
    with gzip.open(path, "wt", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        for number, sample in enumerate(samples, 1):
            lines.writerow((number, *_format_line(sample)))


def read_latencies(path: Path) -> dict[tuple[str, str], list[float]]:
    """Return the accepted calls' latencies in milliseconds, by scenario and operation. Raise OSError, ValueError."""
    found: dict[tuple[str, str], list[float]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if int(line["status"]) in ACCEPTED:
                latency_ms = (float(line["done_s"]) - float(line["meant_s"])) * 1000
                found.setdefault((line["scenario"], line["operation"]), []).append(latency_ms)
    return found


def _format_line(sample: CallSample) -> tuple[object, ...]:
    call = sample.call
    times = (sample.meant_s, sample.sent_s, sample.done_s)  # all digits: every figure is computed again from these
    wanted = " ".join(map(str, call.wanted))
    made = (sample.record or {}).get("id", "") if sample.is_accepted else ""
    about = call.facts.get("subject") or made
    return (sample.scenario, call.operation, call.method, call.client, sample.attempt, *times, sample.status,
            sample.problem, wanted, int(sample.is_expected), int(sample.replayed), about, call.key or "")  # fmt: skip
