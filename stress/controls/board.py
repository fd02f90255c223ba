"""What a person sees of the controls: a table that lives while they run, lines where there is no terminal, a page."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from stress.controls.model import Verdict, as_record
from stress.controls.runs import Ran, last_lines

FRAMES_PER_SECOND = 2
LONGEST = 120  # characters of a reason, in the table
TITLES = ("control", "scenario", "verdict", "which check", "seconds")


@dataclass
class Line:
    """A control, or the unbroken system, and how it stands."""

    name: str
    why: str
    scenario: str
    wanted: str = "red"
    began: float | None = None
    seconds: float = 0.0
    verdict: Verdict | None = None
    trouble: str = ""
    log: Path | None = None

    @property
    def held(self) -> bool:
        """Whether it came out as it must."""
        return self.verdict is not None and self.verdict.outcome == self.wanted

    @property
    def outcome(self) -> str:
        """Return its state in a word or two."""
        if self.verdict is None:
            return "waiting" if self.began is None else "running"
        return f"{self.verdict.outcome} {self.verdict.status}".strip()

    @property
    def what(self) -> str:
        """Return which check turned red, or why the outcome is not what it must be."""
        if self.verdict is None:
            return last_lines(self.log, 1) if self.log and self.log.exists() else ""
        reasons = [str(reason) for reason in self.verdict.reasons[:1]]
        return "; ".join(([self.verdict.said] if self.verdict.said else []) + reasons)

    @property
    def elapsed_s(self) -> float:
        """Return how long it has taken so far, or did."""
        if self.began is None or self.verdict is not None:
            return self.seconds
        return time.monotonic() - self.began

    def settle(self, verdict: Verdict, ran: Ran) -> None:
        """Note what came of it."""
        self.verdict, self.seconds, self.trouble = verdict, ran.seconds, ran.trouble

    def record(self) -> dict[str, Any]:
        """The line, for controls.json."""
        return {
            "name": self.name,
            "why": self.why,
            "scenario": self.scenario,
            "held": self.held,
            "seconds": round(self.seconds, 1),
            "trouble": self.trouble,
            **(as_record(self.verdict) if self.verdict else {"outcome": "not run"}),
        }


class Board:
    """The lines: a table within the block where there is a terminal, else text."""

    def __init__(self, lines: Sequence[Line], console: Console | None = None) -> None:
        self._lines = lines
        self._console = console or Console()
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=FRAMES_PER_SECOND)

    def __enter__(self) -> Self:
        """Show the table."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the table as it is."""
        self._live.stop()

    def begin(self, line: Line) -> None:
        """Say that the line is being worked on."""
        line.began = time.monotonic()
        if not self._console.is_terminal:
            self._say(f"{line.name}: {line.why}")

    def settled(self, line: Line) -> None:
        """Say what came of it."""
        if not self._console.is_terminal:
            self._say(f"  {line.outcome}, {line.seconds:.0f} s  {line.what}")

    def end(self, folder: Path) -> None:
        """Say what it all came to, and where it is kept."""
        for line in self._lines:
            if line.trouble:
                self._say(f"\n{line.name}: {line.trouble}")
        held = sum(line.held for line in self._lines)
        word = "all" if held == len(self._lines) else "NOT all"
        self._say(f"\n{word} as they must be: {held} of {len(self._lines)}; see {folder}/controls.md")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> RenderableType:
        table = Table(box=None, pad_edge=False)
        for title in TITLES:
            table.add_column(title, justify="right" if title == "seconds" else "left")
        for line in self._lines:
            colour = "dim" if line.verdict is None else "green" if line.held else "bold red"
            row = (line.name, line.scenario, line.outcome, line.what[:LONGEST], f"{line.elapsed_s:.0f}")
            table.add_row(*map(escape, row), style=colour)
        return table


def as_markdown(lines: Sequence[Line], document: Mapping[str, Any]) -> str:
    """The page: what was broken, what turned red, and the last words of what went wrong."""
    rows = [
        f"| {'✓' if line.held else '✗'} | {line.name} | {line.why} | {line.scenario} | {line.outcome} | "
        f"{_cell(line.what)} | {line.seconds:.0f} |"
        for line in lines
    ]
    troubles = [f"\n## {line.name}\n```\n{line.trouble}\n```" for line in lines if line.trouble]
    head = [
        "# Negative controls",
        "",
        f"{document['verdict']}: {document['passed']} of {document['total']} as they must be, "
        f"{document['started_at']}, {document['duration_s']:.0f} s. Each broke the system in one way; a check that did "
        "not turn red for it proves nothing.",
        "",
        "| | control | what was broken | scenario | verdict | which check | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, *troubles]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
