"""The view of a run in progress, which can't disturb the run."""

import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from threading import Event

import pytest
from rich.console import Console

from stress import progress_view
from stress.progress_view import ProgressView
from tests.stress import sample

WAIT_S = 30


@pytest.fixture(autouse=True)
def at_a_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up a terminal outside of CI, and a view that is drawn often."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(progress_view, "REFRESH_S", 0.02)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.005)


def make_terminal(file: StringIO) -> Console:
    """Return a console that takes itself for a terminal."""
    return Console(file=file, force_terminal=True, width=110, height=40, _environ={"TERM": "xterm-256color"})


def run(view: ProgressView) -> None:
    """A run of the sample's scenarios."""
    report = sample.make_mixed_report()
    for result in report.results:
        view.start_scenario(result.key, result.title)
        view.note_step("load")
        for nth in range(40):
            view.note_answer(nth % 10 != 0)
            view.note_lag(nth / 10)
        view.note_fault("mail\nservice \x1b[2J away")
        view.finish_scenario(result)
    view.end(report, Path("build/stress"))


def test_where_nobody_watches_each_event_is_a_line() -> None:
    """Events come in order, none is lost, and no text breaks out of its line."""
    out = StringIO()
    with ProgressView(profile="full", expected_s=400, console=Console(file=out, width=80)) as view:
        run(view)
    lines = [line.strip().split("  ", 1)[1] for line in out.getvalue().splitlines()]
    assert lines[0] == "profile full, expected to take 6 min 40 s"
    assert lines[1:5] == [
        "pool: A crowd shares ten connections",
        "pool: load",
        "fault: mail service [2J away",
        "pool: PASS, 4 of 4 checks held",
    ]
    assert "claims: FAIL, 2 of its 3 checks did not hold; its reconciliation found 7 differences" in lines
    (capacity,) = [line for line in lines if line.startswith("capacity: INVALID, ")]
    assert "1 of its 3 checks could not be decided: 5,210 samples more would decide it; " in capacity
    assert capacity.endswith("it has 14,120 of 18,400 samples; its load generator was late")
    assert lines[-4] == "FAIL: 6 of 8 promises hold."
    assert lines[-1] == "report: build/stress/report.html"
    assert len(lines) == 1 + 8 * 4 + 4
    assert "\x1b" not in out.getvalue()


def test_a_long_step_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines go on coming while nothing happens, and say how far the run is."""
    monkeypatch.setattr(progress_view, "QUIET_S", 0.05)
    out = StringIO()
    with ProgressView(profile="quick", expected_s=60, console=Console(file=out)) as view:
        view.start_scenario("pool", "A crowd")
        for nth in range(1500):
            view.note_answer(nth % 100 != 0)
        view.note_lag(7)
        view.note_lag(3)
        wait_until(lambda: out.getvalue().count("answers/s") >= 2)
    assert "1,500 in all, 15 errors, lag 3 ms (most 7)" in out.getvalue()


def test_a_terminal_shows_what_is_under_way_and_what_is_to_come() -> None:
    """The list, the current part, the faults; at the end the verdict below it."""
    out = StringIO()
    report = sample.make_mixed_report()
    scenarios = [(result.key, result.title) for result in report.results]
    with ProgressView(profile="full", expected_s=400, scenarios=scenarios, console=make_terminal(out)) as view:
        view.start_scenario("pool", scenarios[0][1])
        view.note_step("fifty environments at work")
        wait_until(lambda: "▸ running" in out.getvalue() and "fifty environments at work" in out.getvalue())
        assert out.getvalue().count("· waiting") >= 7
        run(view)
    last = out.getvalue()[out.getvalue().rindex("Readiness") :]
    assert "✕ FAIL" in last
    assert "? INVALID" in last
    assert "waiting" not in last
    assert "320 in all, 32 errors" in last
    assert "mail service [2J away" in last
    assert last.index("FAIL: 6 of 8 promises hold.") > last.index("320 in all")


def test_ci_gets_lines_even_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log is read later: nothing in it is drawn over."""
    monkeypatch.setenv("CI", "true")
    out = StringIO()
    with ProgressView(profile="full", expected_s=400, console=make_terminal(out)) as view:
        run(view)
    assert "\x1b[" not in out.getvalue().replace("\x1b[0m", "")
    assert "pool: PASS, 4 of 4 checks held" in out.getvalue()


class BrokenTerminal(StringIO):
    """A terminal that is gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


class BlockedTerminal(StringIO):
    """A terminal that takes no more, as one that was stopped by Ctrl-S."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.released = Event(), Event()

    def write(self, text: str) -> int:
        self.waiting.set()
        self.released.wait(WAIT_S)
        return len(text)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("terminal", [True, False], ids=["picture", "lines"])
def test_a_terminal_that_is_gone_does_not_end_the_run(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is raised, neither by the events nor at the end, nor in the thread that draws."""
    monkeypatch.setattr("rich.console.os.dup2", lambda *_: None)  # on a broken pipe it would close pytest's own output
    file = BrokenTerminal()
    with ProgressView(
        profile="full", expected_s=400, console=make_terminal(file) if terminal else Console(file=file)
    ) as view:
        run(view)


def test_a_terminal_that_takes_no_more_does_not_hold_the_run() -> None:
    """The whole run is noted, and left, while the view's thread is still in its first write."""
    file = BlockedTerminal()
    with ProgressView(profile="full", expected_s=400, console=Console(file=file)) as view:
        assert file.waiting.wait(WAIT_S)
        run(view)
    assert not file.released.is_set()
    assert view._thread.is_alive()
    file.released.set()
    view._thread.join(WAIT_S)
    assert not view._thread.is_alive()


def test_answers_draw_nothing_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The view is drawn by its clock, however many answers come: with a slow one, at the beginning and the end."""
    monkeypatch.setattr(progress_view, "REFRESH_S", WAIT_S)
    out = StringIO()
    with ProgressView(profile="full", expected_s=400, console=make_terminal(out)) as view:
        wait_until(lambda: "Readiness" in out.getvalue())
        for _ in range(20_000):
            view.note_answer(ok=True)
    assert out.getvalue().count("Readiness") <= 3
    assert "20,000 in all" in out.getvalue()
