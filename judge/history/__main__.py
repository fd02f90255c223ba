"""The command line: `python -m judge.history FOLDER` judges the history in a report's folder.

It prints one JSON object: `verdict` (PASS, FAIL, INVALID), `judged` (how many things by what they are), `kinds` (how
many anomalies of each kind) and the first anomalies of each kind. It returns 0 for PASS, 1 for FAIL, 2 for INVALID.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from judge.history.checker import check_history
from judge.history.model import Anomaly, HistoryFindings
from judge.history.reading import FILE, UnreadableHistory, read_history

LISTED = 10  # of each kind
STATUSES = {"PASS": 0, "FAIL": 1, "INVALID": 2}


def describe_findings(found: HistoryFindings) -> dict[str, Any]:
    """Return the findings as they are printed."""
    kinds = Counter(anomaly.kind for anomaly in found.anomalies)
    return {
        "verdict": "FAIL" if kinds else "PASS",
        "judged": dict(sorted(found.judged.items())),
        "kinds": dict(sorted(kinds.items())),
        "anomalies": [asdict(anomaly) for anomaly in _choose_listed(found.anomalies)],
    }


def _choose_listed(anomalies: Sequence[Anomaly]) -> list[Anomaly]:
    seen: Counter[str] = Counter()
    listed = []
    for anomaly in anomalies:
        seen[anomaly.kind] += 1
        if seen[anomaly.kind] <= LISTED:
            listed.append(anomaly)
    return listed


def main(arguments: Sequence[str]) -> int:
    """Judge the history in a folder; return the exit status of the verdict."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return STATUSES["INVALID"]
    try:
        verdict = describe_findings(check_history(read_history(Path(arguments[0]) / FILE)))
    except UnreadableHistory as error:
        verdict = {"verdict": "INVALID", "trouble": str(error)}
    print(json.dumps(verdict, indent=1))
    return STATUSES[verdict["verdict"]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
