"""Figures that tests measure, kept for the page of guarantees as one JSON object a line."""

import json
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "build/figures.jsonl"


def record(name: str, **figures: object) -> None:
    """Note what a test has measured, under a name."""
    FILE.parent.mkdir(exist_ok=True)
    with FILE.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, **figures}) + "\n")
