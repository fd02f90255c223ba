"""Statistics of the process that answers: how long it has run and what it uses."""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from health.model import ProcessUsage
from shared.clock import read_monotonic

STATM = Path("/proc/self/statm")
MEGABYTE = 1024 * 1024


class ProcessStats:
    """The statistics of a process since this object was created."""

    def __init__(self, clock: Callable[[], float] = read_monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._invocations = 0

    def count_invocation(self) -> None:
        """Count an invocation; the first one is the cold start."""
        self._invocations += 1

    def read_usage(self) -> ProcessUsage:
        """Return the current usage."""
        return ProcessUsage(
            uptime_s=round(self._clock() - self._started, 1),
            memory_mb=round(read_resident_bytes() / MEGABYTE, 1),
            cpu_s=round(time.process_time(), 2),
            cold_start=self._invocations == 1,
        )


def read_resident_bytes() -> int:
    """Return the memory in use; if the kernel does not report it, the maximum so far."""
    try:
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
