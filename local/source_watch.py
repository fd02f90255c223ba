"""The watch over the sources of a running cloud: the next call gets saved code, and the terminal says what changed."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.saved_files import SavedFiles

LOOK_S = 0.2  # between two looks at the files; with the start of an environment, less than the second that is promised
REPLACE_S = 60.0  # a new environment has half of it to start (local/runtime/environment.py)
NAMED = 4  # files or functions in one line; more are counted
CODE = ("functions", "layers/shared/shared")
TEMPLATE, PACKAGES, MIGRATIONS = "template.yaml", "layers/shared/requirements.txt", "migrations"
RESTART = "Ctrl-C and make up deploy it; the state stays"


@dataclass(frozen=True)
class SourceWatch:
    """The watch over a checkout at `root`. `replace_code` has the gateway replace environments, `report` prints a line.

    `replace_code` returns by function whether it ran, and why it doesn't start now. It may raise OSError.
    """

    root: Path
    replace_code: Callable[[list[Path]], dict[str, dict[str, Any]]]
    report: Callable[[str], None]
    files: SavedFiles

    def run(self) -> None:
        """Look at the files until this process ends; code is taken beside, so that the next save is not missed."""
        while True:
            time.sleep(LOOK_S)
            if changed := self.files.take_changes():
                threading.Thread(target=self.handle, args=(changed,), daemon=True).start()

    def handle(self, changed: list[Path]) -> None:
        """Take saved code, and say of every change what became of it."""
        code = [path for path in changed if self._is_of(path, *CODE)]
        if code:
            self._take_code(code)
        for path in changed:
            if hint := self._find_hint(path):
                self.report(f"{path.relative_to(self.root)} has changed: {hint}")

    def _take_code(self, code: list[Path]) -> None:
        remove_bytecode(code)
        named = ", ".join(str(path.relative_to(self.root)) for path in code[:NAMED])
        named += f" and {len(code) - NAMED} more" if len(code) > NAMED else ""
        try:
            ends = self.replace_code(code)
        except OSError as error:
            self.report(f"{named} has changed, and the gateway did not take it: {error}")
            return
        for line in describe_ends(named, ends):
            self.report(line)

    def _find_hint(self, path: Path) -> str:
        if self._is_of(path, TEMPLATE, PACKAGES):
            return RESTART
        return "to apply it: make migrate" if self._is_of(path, MIGRATIONS) else ""

    def _is_of(self, path: Path, *places: str) -> bool:
        return any(path.is_relative_to(self.root / place) for place in places)


def watch_sources(root: Path, front_url: str, report: Callable[[str], None], files: SavedFiles) -> None:
    """Watch a checkout, in a thread that ends with this process."""
    watch = SourceWatch(root, lambda code: ask_gateway(front_url, code), report, files)
    threading.Thread(target=watch.run, daemon=True, name="source watch").start()


def note_files(root: Path) -> SavedFiles:
    """Return the files that are watched, as they are now."""
    return SavedFiles([root / place for place in (*CODE, TEMPLATE, PACKAGES, MIGRATIONS)])


def remove_bytecode(code: list[Path]) -> None:
    """Remove the compiled form of files: Python takes it for current if size and second of the source are the same."""
    for path in code:
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            with suppress(OSError):
                compiled.unlink()


def ask_gateway(front_url: str, code: list[Path]) -> dict[str, dict[str, Any]]:
    """Have the gateway replace the environments that read the files; return how that ended. Raise OSError."""
    request = urllib.request.Request(  # noqa: S310 - our own gateway
        f"{front_url}/_local/code",
        data=json.dumps({"files": [str(path) for path in code]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=REPLACE_S) as answer:  # noqa: S310
        ends: dict[str, dict[str, Any]] = json.load(answer)
        return ends


def describe_ends(named: str, ends: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines about saved code: who serves it, and why somebody can't."""
    served = sorted(name for name, end in ends.items() if not end["failure"])
    broken = {name: end["failure"] for name, end in sorted(ends.items()) if end["failure"]}
    lines = [f"{named} is served by {list_names(served)}"] if served else []
    for message in dict.fromkeys(broken.values()):
        names = list_names([name for name, failure in broken.items() if failure == message])
        lines.append(f"{named} does not start, calls get the code from before: {names}\n         {message}")
    return lines or [f"{named} has changed; no function reads it"]


def list_names(functions: list[str]) -> str:
    """Return the names of a few functions, or how many there are."""
    return ", ".join(functions) if len(functions) <= NAMED else f"{len(functions)} functions"
