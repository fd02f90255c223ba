"""Figures that tests measure, kept for the page of guarantees as one JSON object a line."""

import json
import os
import time
from functools import cache
from pathlib import Path

from stress.git_reader import read_git

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "build/figures.jsonl"
HASH_DIGITS = 12
# Of this run of pytest; the figures of an earlier run of the same test are older ones, not more of them.
RUN = f"{time.time_ns()}-{os.getpid()}"


def record(name: str, **figures: object) -> None:
    """Note what a test has measured, under a name, at this commit; nothing with DB_PIPELINE=off: it is deployed on."""
    if os.environ.get("DB_PIPELINE") == "off":
        return
    FILE.parent.mkdir(exist_ok=True)
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]  # pytest adds the phase: "(call)"
    with FILE.open("a", encoding="utf-8") as file:
        line = {"name": name, "test": test, "run": RUN, "commit": describe_commit(), **figures}
        file.write(json.dumps(line) + "\n")


@cache
def describe_commit() -> str:
    """Return the commit that was measured, and whether files differed from it."""
    commit = read_git(ROOT, "rev-parse", f"--short={HASH_DIGITS}", "HEAD") or "unknown"
    return f"{commit} with changes" if read_git(ROOT, "status", "--porcelain") else commit
