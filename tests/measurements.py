"""Figures that tests measure, kept for the page of guarantees as one JSON object a line."""

import json
import os
from functools import cache
from pathlib import Path

from stress.git_reader import read_git

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "build/figures.jsonl"
HASH_DIGITS = 12


def record(name: str, **figures: object) -> None:
    """Note what a test has measured, under a name, at this commit; nothing with DB_PIPELINE=off: it is deployed on."""
    if os.environ.get("DB_PIPELINE") == "off":
        return
    FILE.parent.mkdir(exist_ok=True)
    with FILE.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, "commit": describe_commit(), **figures}) + "\n")


@cache
def describe_commit() -> str:
    """Return the commit that was measured, and whether files differed from it."""
    commit = read_git(ROOT, "rev-parse", f"--short={HASH_DIGITS}", "HEAD") or "unknown"
    return f"{commit} with changes" if read_git(ROOT, "status", "--porcelain") else commit
