"""The times at which the emulator's state is written while it runs. Pure: `local.emulator_process` writes it."""

import re
from typing import Any

QUIET_S = 1.0  # without a change, so that writing does not delay a busy client
LONGEST_WAIT_S = 30.0  # how old the changes may be that a SIGKILL loses
READING = re.compile(rb"\.(Receive|Get|List|Describe|Query|Scan|BatchGet|AdminGet|Head)", re.ASCII)

Message = dict[str, Any]


class CheckpointSchedule:
    """The record of changes, which decides when to write them. Times are `time.monotonic()`'s."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.last = 0.0

    def note_change(self, now: float) -> None:
        """Record that something changed."""
        self.first = now if self.first is None else self.first
        self.last = now

    def is_due(self, now: float) -> bool:
        """Return whether the state is to be written now."""
        return self.first is not None and (now - self.last >= QUIET_S or now - self.first >= LONGEST_WAIT_S)

    def clear(self) -> None:
        """Record that all changes are written."""
        self.first = None


def is_write(scope: Message) -> bool:
    """Return whether a request may change something: all but reads."""
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return False
    target: bytes = next((value for name, value in scope["headers"] if name == b"x-amz-target"), b"")
    return READING.search(target) is None
