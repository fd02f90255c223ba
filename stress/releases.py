"""Releases of a running local cloud, made by its own command; what it says is timed by the run's clock.

A release is the code of the checkout that is driven, with some lines appended to a function's handler.
"""

import asyncio
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stress.load_generator import RunClock
from stress.local_target import LocalCloud

FUNCTION, FOLDER, PACKAGE = "MembersFunction", "functions/members", "members"
NOT_STARTING, FAILING, RAISING, GOOD = (
    "does not start", "fails every write", "raises after the commit", "changes nothing"
)  # fmt: skip
# What is appended to the handler's module.
CHANGES = {
    NOT_STARTING: """
raise ImportError("a broken release")
""",
    # An ordinary answer of the function, with status 500.
    FAILING: """
def _fail(*_arguments, **_options):
    raise RuntimeError("a broken release")

service.register_member = _fail
""",
    # Lambda counts an error; the client gets 502, and can't know whether it was done.
    RAISING: """
_handler = handler

def handler(event, context):
    answer = _handler(event, context)
    if event.get("httpMethod") == "POST":
        raise RuntimeError("a broken release")
    return answer
""",
    GOOD: """
# Another version, and no other behaviour.
""",
}
RELEASE_S = 120.0

SHARED = re.compile(r"\d+% of the calls reach the new versions")
RANG = re.compile(r"(?P<alarm>\w+) rings after [\d.]+ s: rolled back")
ENDED = re.compile(r"(?P<outcome>promoted|refused|rolled back); (?P<seen>\d+) of (?P<total>\d+) calls saw")

Outcome = Literal["promoted", "refused", "rolled back", "unknown"]


@dataclass(frozen=True)
class ReleaseOutcome:
    """The end of a release; times are seconds of the run.

    `shared_s` is when the new version began to get calls, `rang_s` when the release was told to be rolled back because
    of `alarm`; 0 if that has not been. Of `calls` that the functions counted since then, `calls_seen` reached the new
    version.
    """

    outcome: Outcome
    began_s: float
    ended_s: float
    shared_s: float = 0.0
    rang_s: float = 0.0
    alarm: str = ""
    calls_seen: int = 0
    calls: int = 0
    output: str = ""


async def release(cloud: LocalCloud, change: str, clock: RunClock, *, minute_s: float) -> ReleaseOutcome:
    """Release the members' function with a change; `minute_s` seconds stand for a minute of canary and alarms."""
    folder = cloud.folder / "stress-releases" / change.replace(" ", "-")
    write_release(cloud.root, folder, CHANGES[change])
    began_s = clock.read_now()
    said = await asyncio.to_thread(_run_release, cloud, folder, clock, minute_s)
    return read_outcome(said, began_s, clock.read_now())


def write_release(root: Path, folder: Path, change: str) -> None:
    """Write the function's code with a change into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / FOLDER, folder / FOLDER)
    handler = folder / FOLDER / PACKAGE / "app.py"
    handler.write_text(handler.read_text(encoding="utf-8") + change, encoding="utf-8")


def _run_release(cloud: LocalCloud, folder: Path, clock: RunClock, minute_s: float) -> list[tuple[float, str]]:
    """Return the lines of the command, each with when it was said."""
    process = cloud.start_command("release", "--code", str(folder), "--minute", str(minute_s))
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    said = [(clock.read_now(), line.decode(errors="replace").rstrip()) for line in process.stdout]
    process.wait(RELEASE_S)
    return said


def read_outcome(said: Sequence[tuple[float, str]], began_s: float, ended_s: float) -> ReleaseOutcome:
    """Return the outcome that the command's lines tell."""
    shared_s = next((at for at, line in said if SHARED.match(line)), 0.0)
    rang = next(((at, found["alarm"]) for at, line in said if (found := RANG.match(line))), (0.0, ""))
    ended = next((found for _, line in reversed(said) if (found := ENDED.match(line))), None)
    output = "\n".join(line for _, line in said)
    if ended is None:
        return ReleaseOutcome("unknown", began_s, ended_s, shared_s, *rang, output=output)
    outcome: Outcome = ended["outcome"]  # type: ignore[assignment]
    counts = int(ended["seen"]), int(ended["total"])
    return ReleaseOutcome(outcome, began_s, ended_s, shared_s, *rang, *counts, output)
