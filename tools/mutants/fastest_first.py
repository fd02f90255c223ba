"""A pytest plugin: run the tests that took least first, since the first one that fails ends a mutant's run."""

import json
from pathlib import Path

import pytest

TIMES = Path("mutmut-stats.json")  # by mutmut, in the folder in which the tests run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by the seconds that each took when nothing was changed."""
    if TIMES.exists():
        seconds = json.loads(TIMES.read_text(encoding="utf-8"))["duration_by_test"]
        items.sort(key=lambda item: (seconds.get(item.nodeid, 0.0), item.nodeid))
