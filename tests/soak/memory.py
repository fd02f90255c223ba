"""The memory that the execution environments use, measured from outside."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

PAGE = os.sysconf("SC_PAGE_SIZE")
MEGABYTE = 1024 * 1024
ENOUGH = 12  # samples that say something of an environment's way


class MemoryWatch:
    """Resident memory of execution environments, over time."""

    def __init__(self) -> None:
        self._seen: defaultdict[tuple[str, int], list[float]] = defaultdict(list)

    def take_samples(self, pids: Mapping[str, Iterable[int]]) -> None:
        """Take a sample of each that still lives, by function."""
        for function, pid in ((function, pid) for function, each in pids.items() for pid in each):
            if (size := _read_resident_mb(pid)) is not None:
                self._seen[function, pid].append(size)

    def measure_growth(self) -> dict[str, float]:
        """Megabytes that a function's environments have grown from the second quarter of their samples to the last.

        The first quarter warms up. Of a function's environments it is the median: what leaks, leaks in all of them,
        while one that is the first to need a client of another service has it from then on.
        """
        grown: defaultdict[str, list[float]] = defaultdict(list)
        for (function, _), sizes in self._seen.items():
            if len(sizes) >= ENOUGH:
                quarter = len(sizes) // 4
                grown[function].append(median(sizes[-quarter:]) - median(sizes[quarter : 2 * quarter]))
        return {function: median(each) for function, each in grown.items()}


def _read_resident_mb(pid: int) -> float | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / MEGABYTE
    except (OSError, IndexError):
        return None
