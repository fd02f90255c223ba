"""The view of the controls: a live table while they run, lines if there is no terminal, and a page."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from stress.control_record import ControlRecord
from stress.controls.harness_runs import HarnessResult, read_last_lines
from stress.controls.model import ControlVerdict, to_record

FRAMES_PER_SECOND = 2
LONGEST = 120  # characters of a reason, in the table
TITLES = ("control", "scenario", "verdict", "which check", "seconds")


@dataclass
class ControlRow:
    """A control, or the unbroken system, and its present state."""

    name: str
    why: str
    scenario: str
    wanted: str = "red"
    began: float | None = None
    seconds: float = 0.0
    verdict: ControlVerdict | None = None
    trouble: str = ""
    log: Path | None = None

    @property
    def has_passed(self) -> bool:
        """Return whether the outcome is as it must be."""
        return self.verdict is not None and self.verdict.outcome == self.wanted

    @property
    def outcome(self) -> str:
        """Return its state in a word or two."""
        if self.verdict is None:
            return "waiting" if self.began is None else "running"
        return f"{self.verdict.outcome} {self.verdict.status}".strip()

    @property
    def reason(self) -> str:
        """Return which check turned red, or why the outcome is not as it must be."""
        if self.verdict is None:
            return read_last_lines(self.log, 1) if self.log and self.log.exists() else ""
        reasons = [str(reason) for reason in self.verdict.reasons[:1]]
        return "; ".join(([self.verdict.explanation] if self.verdict.explanation else []) + reasons)

    @property
    def elapsed_s(self) -> float:
        """Return how long it has taken so far, or took."""
        if self.began is None or self.verdict is not None:
            return self.seconds
        return time.monotonic() - self.began

    def set_result(self, verdict: ControlVerdict, result: HarnessResult) -> None:
        """Store the result."""
        self.verdict, self.seconds, self.trouble = verdict, result.seconds, result.trouble

    def to_record(self) -> dict[str, Any]:
        """Return the row, for controls.json."""
        return {
            "name": self.name,
            "why": self.why,
            "scenario": self.scenario,
            "held": self.has_passed,
            "seconds": round(self.seconds, 1),
            "trouble": self.trouble,
            **(to_record(self.verdict) if self.verdict else {"outcome": "not run"}),
        }

    def make_record(self, guards: Mapping[str, str], commit: str, when: datetime) -> ControlRecord:
        """Return the result as it is kept: which check turned red, and which others did with it."""
        reasons = list(dict.fromkeys(reason.name for reason in self.verdict.reasons)) if self.verdict else []
        return ControlRecord(
            name=self.name,
            scenario=self.scenario,
            why=self.why,
            detected=self.has_passed,
            outcome=self.verdict.outcome if self.verdict else "not run",
            status=self.verdict.status if self.verdict else "",
            red=reasons[0] if reasons else "",
            others=reasons[1:],
            when=when.isoformat(timespec="seconds"),
            commit=commit,
            seconds=round(self.seconds, 1),
            guards=dict(guards),
        )


class ControlTable:
    """The rows: a live table within the block if there is a terminal, else text."""

    def __init__(self, rows: Sequence[ControlRow], console: Console | None = None) -> None:
        self._rows = rows
        self._console = console or Console()
        self._live = Live(get_renderable=self._build_table, console=self._console, refresh_per_second=FRAMES_PER_SECOND)

    def __enter__(self) -> Self:
        """Show the table."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the table as it is."""
        self._live.stop()

    def begin(self, row: ControlRow) -> None:
        """Show that a control begins."""
        row.began = time.monotonic()
        if not self._console.is_terminal:
            self._print(f"{row.name}: {row.why}")

    def show_outcome(self, row: ControlRow) -> None:
        """Show a control's outcome."""
        if not self._console.is_terminal:
            self._print(f"  {row.outcome}, {row.seconds:.0f} s  {row.reason}")

    def end(self, folder: Path) -> None:
        """Show the overall result, and where it is stored."""
        for row in self._rows:
            if row.trouble:
                self._print(f"\n{row.name}: {row.trouble}")
        passed = sum(row.has_passed for row in self._rows)
        word = "all" if passed == len(self._rows) else "NOT all"
        self._print(f"\n{word} as they must be: {passed} of {len(self._rows)}; see {folder}/controls.md")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _build_table(self) -> RenderableType:
        table = Table(box=None, pad_edge=False)
        for title in TITLES:
            table.add_column(title, justify="right" if title == "seconds" else "left")
        for row in self._rows:
            colour = "dim" if row.verdict is None else "green" if row.has_passed else "bold red"
            cells = (row.name, row.scenario, row.outcome, row.reason[:LONGEST], f"{row.elapsed_s:.0f}")
            table.add_row(*map(escape, cells), style=colour)
        return table


def format_markdown(controls: Sequence[ControlRow], document: Mapping[str, Any]) -> str:
    """Return the page: what was broken, what turned red, and the last output of what went wrong."""
    rows = [
        f"| {'✓' if row.has_passed else '✗'} | {row.name} | {row.why} | {row.scenario} | {row.outcome} | "
        f"{_format_cell(row.reason)} | {row.seconds:.0f} |"
        for row in controls
    ]
    troubles = [f"\n## {row.name}\n```\n{row.trouble}\n```" for row in controls if row.trouble]
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


def _format_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
