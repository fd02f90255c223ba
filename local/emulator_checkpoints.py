"""When the emulator's state is to be written down while it runs. Pure: `local.emulator_process` does the writing."""

import re
from typing import Any

QUIET_S = 1.0  # without a change, so that writing does not stand in the way of a busy client
LONGEST_WAIT_S = 30.0  # of changes that a SIGKILL may lose
READING = re.compile(rb"\.(Receive|Get|List|Describe|Query|Scan|BatchGet|AdminGet|Head)", re.ASCII)

Message = dict[str, Any]


class CheckpointSchedule:
    """Notices changes and says when to write them down. Times are `time.monotonic()`'s."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.last = 0.0

    def note_change(self, now: float) -> None:
        """Something changed."""
        self.first = now if self.first is None else self.first
        self.last = now

    def is_due(self, now: float) -> bool:
        """Whether to write now."""
        return self.first is not None and (now - self.last >= QUIET_S or now - self.first >= LONGEST_WAIT_S)

    def clear(self) -> None:
        """All that was noted is written."""
        self.first = None


def is_write(scope: Message) -> bool:
    """Whether a request may change something: all but reads."""
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return False
    target: bytes = next((value for name, value in scope["headers"] if name == b"x-amz-target"), b"")
    return READING.search(target) is None
