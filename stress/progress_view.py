"""The terminal's view of a run: a live screen, or a line for each event if the output is no terminal.

A run only calls methods that store what happens: they never wait for a terminal and never fail because of one. A thread
of the view's own draws.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live as Screen
from rich.text import Text

from stress.model import ReadinessReport, ScenarioResult
from stress.report import consistency
from stress.report.formatting import format_clock, format_duration, format_number

REFRESH_S = 1.0  # a refresh holds the interpreter for two milliseconds, which delays the load generator
QUIET_S = 5.0  # with lines: the longest time without one
RATE_S = 3.0  # the period over which answers a second are counted
FAULTS_SHOWN = 3
STYLES = {
    "PASS": "green",
    "FAIL": "bold red",
    "INVALID": "yellow",
    "SKIPPED": "dim",
    "running": "bold",
    "waiting": "dim",
}
MARKS = consistency.MARKS | {"running": "▸", "waiting": "·"}


@dataclass
class _ScenarioRow:
    """One scenario in the list."""

    title: str
    state: str = "waiting"
    note: str = ""


@dataclass
class _ProgressState:
    """All that has been noted so far."""

    rows: dict[str, _ScenarioRow] = field(default_factory=dict)
    current: str = ""
    step: str = ""
    answers: int = 0
    errors: int = 0
    lag_ms: float = 0.0
    most_lag_ms: float = 0.0
    faults: deque[str] = field(default_factory=lambda: deque(maxlen=FAULTS_SHOWN))


class ProgressView:
    """The view of one run, as a context manager. Its methods only store; they neither wait nor raise.

    `scenarios` are the keys and titles of the scenarios to come, to be listed before they begin. Lines are written
    instead of a screen if the console is no terminal, or CI is set.
    """

    def __init__(
        self,
        *,
        profile: str,
        expected_s: float,
        scenarios: Sequence[tuple[str, str]] = (),
        console: Console | None = None,
    ) -> None:
        self._profile = profile
        self._expected_s = expected_s
        self._console = console or Console(highlight=False)
        self._plain = not self._console.is_terminal or self._console.is_dumb_terminal or bool(os.environ.get("CI"))
        self._state = _ProgressState({key: _ScenarioRow(_clean_line(title)) for key, title in scenarios})
        self._lines: deque[str] = deque()
        self._counted: deque[tuple[float, int]] = deque()
        self._began = time.monotonic()
        self._wrote_at = self._began
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="live view", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread that draws."""
        self._began = self._wrote_at = time.monotonic()
        self._write(f"profile {self._profile}, expected to take {format_duration(self._expected_s)}")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the thread; don't wait for a blocked terminal."""
        self._ended.set()
        self._thread.join(2 * REFRESH_S)  # a blocked terminal is not waited for

    def start_scenario(self, key: str, title: str) -> None:
        """Note that a scenario begins."""
        state = self._state
        state.rows.setdefault(key, _ScenarioRow(_clean_line(title))).state = "running"
        state.current, state.step, state.lag_ms, state.most_lag_ms = key, "", 0.0, 0.0
        self._write(f"{key}: {title}")

    def note_step(self, text: str) -> None:
        """Note what the scenario does now."""
        self._state.step = _clean_line(text)
        self._write(f"{self._state.current}: {text}")

    def note_answer(self, ok: bool) -> None:  # noqa: FBT001 — one for every answer of the system, in two words
        """Count an answer: an intended one, or an error."""
        self._state.answers += 1
        self._state.errors += not ok

    def note_lag(self, ms: float) -> None:
        """Note how late the generator was with a call."""
        self._state.lag_ms = ms
        self._state.most_lag_ms = max(self._state.most_lag_ms, ms)

    def note_fault(self, text: str) -> None:
        """Note a fault, or its end."""
        self._state.faults.append(f"{format_clock(time.monotonic() - self._began)}  {_clean_line(text)}")
        self._write(f"fault: {text}")

    def finish_scenario(self, result: ScenarioResult) -> None:
        """Note a scenario's result."""
        status = consistency.judge_result(result)
        note = consistency.describe_checks(result) if status == "PASS" else "; ".join(consistency.list_doubts(result))
        self._state.rows[result.key] = _ScenarioRow(_clean_line(result.title), status, note)
        self._state.step = ""
        self._write(f"{result.key}: {status}" + (f", {note}" if note else ""))

    def end(self, report: ReadinessReport, folder: Path) -> None:
        """Write the run's result and the report's path."""
        self._state.current = ""
        score = consistency.score_report(report)
        for line in (
            f"{score.verdict}: {score.headline}",
            *(sentence for _, sentence in score.rest),
            *consistency.find_contradictions(report),
            f"report: {folder / 'report.html'}",
        ):
            self._write(line, always=True)

    def _write(self, text: str, *, always: bool = False) -> None:
        """Queue a line; on a screen only if it is `always` to be written, below the screen."""
        if self._plain:
            self._lines.append(f"{format_clock(time.monotonic() - self._began):>6}  {_clean_line(text)}")
        elif always:
            self._lines.append(_clean_line(text))

    def _draw(self) -> None:
        with suppress(Exception, SystemExit):  # a view that fails is gone, the run is not; rich exits on a broken pipe
            if self._plain:
                self._write_lines()
            else:
                self._show_screen()
            self._flush()

    def _write_lines(self) -> None:
        while not self._ended.wait(REFRESH_S):
            self._flush()
            if time.monotonic() - self._wrote_at >= QUIET_S:
                self._write(self._format_status_line())

    def _flush(self) -> None:
        while self._lines:
            self._console.print(Text(self._lines.popleft()), soft_wrap=True)
            self._wrote_at = time.monotonic()

    def _show_screen(self) -> None:
        with Screen(self._draw_screen(), console=self._console, auto_refresh=False, transient=False) as screen:
            while not self._ended.wait(REFRESH_S):
                screen.update(self._draw_screen(), refresh=True)
            screen.update(self._draw_screen(), refresh=True)

    def _measure_rate(self) -> float:
        """Return answers a second, over the last few seconds."""
        now, counted = time.monotonic(), self._counted
        counted.append((now, self._state.answers))
        while len(counted) > 1 and now - counted[0][0] > RATE_S:
            counted.popleft()
        elapsed = now - counted[0][0]
        return (counted[-1][1] - counted[0][1]) / elapsed if elapsed else 0.0

    def _format_status_line(self) -> str:
        """Return where the run is, in one line."""
        state = self._state
        rate = round(self._measure_rate())
        now, most = (format_number(round(ms, 1)) for ms in (state.lag_ms, state.most_lag_ms))
        return (
            f"{state.current or 'nothing under way'}: {rate:,} answers/s, {state.answers:,} in all, "
            f"{state.errors:,} errors, lag {now} ms (most {most})"
        )

    def _draw_screen(self) -> Text:
        """Return the screen as one text, built by hand: rich's tables would use processor time that the run needs."""
        elapsed = time.monotonic() - self._began
        text = Text.assemble(
            ("Readiness ", "bold"),
            (f"{self._profile}  {format_clock(elapsed)} of about {format_clock(self._expected_s)}  ", "dim"),
            *_draw_progress_bar(elapsed / self._expected_s if self._expected_s else 1.0),
            "\n\n",
            no_wrap=True,
            overflow="ellipsis",
        )
        rows = list(self._state.rows.items())
        widest = max((len(row.title) for _, row in rows), default=0)
        for key, row in rows:
            note = self._state.step if key == self._state.current else row.note
            text.append(f"{MARKS[row.state]} {row.state:<9}", STYLES[row.state])
            text.append(row.title.ljust(widest + 2))
            text.append(note + "\n", "dim")
        text.append(f"\n{self._format_status_line()}")
        for fault in list(self._state.faults):
            text.append(f"\nfault  {fault}", "red")
        return text


def _draw_progress_bar(share: float) -> list[tuple[str, str]]:
    width = 24
    full = min(width, round(width * share))
    return [("━" * full, "green"), ("━" * (width - full), "dim")]


def _clean_line(text: object) -> str:
    """Return a text on one line, without characters that move a terminal's cursor."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
