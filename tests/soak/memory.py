"""How much memory the execution environments keep, watched from outside."""

import os
from collections import defaultdict
from pathlib import Path
from statistics import median

PAGE = os.sysconf("SC_PAGE_SIZE")
MEGABYTE = 1024 * 1024
ENOUGH = 12  # samples that say something of an environment's way


class Memory:
    """Resident memory of processes by pid, over time."""

    def __init__(self) -> None:
        self._seen: defaultdict[int, list[float]] = defaultdict(list)

    def look(self, pids: list[int]) -> None:
        """Take a sample of each that still lives."""
        for pid in pids:
            if (size := _resident_mb(pid)) is not None:
                self._seen[pid].append(size)

    def growths(self) -> dict[int, float]:
        """Megabytes that each has grown from the second quarter of its samples to the last; the first warms up."""
        quarters = {pid: (s, len(s) // 4) for pid, s in self._seen.items() if len(s) >= ENOUGH}
        return {pid: median(s[-q:]) - median(s[q : 2 * q]) for pid, (s, q) in quarters.items()}


def _resident_mb(pid: int) -> float | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / MEGABYTE
    except (OSError, IndexError):
        return None
