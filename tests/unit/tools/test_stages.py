"""Stages run beside each other, their output apart; the first that fails ends all, as a signal does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import ROOT
from tools import stages

PATIENCE_S = 60.0

# `first` and `second` end only if both have begun; each `held` stage keeps a named pipe open, as does its child.
MAKEFILE = """
first:
	@echo first began; touch first.began; while ! [ -e second.began ]; do sleep 0.05; done; sleep 0.5; echo first ends
	@echo "===== 3 passed, 1 skipped in 0.10s ====="
second:
	@echo second began; touch second.began; while ! [ -e first.began ]; do sleep 0.05; done; echo second ends
	@echo "nobody was there" > $$STAGE_NOTE
	@echo "===== 1 failed, 4 passed in 75.10s (0:01:15) ====="
third:
	@[ -e second.began ] && touch third.began
broken:
	@while ! [ -e held.began ]; do sleep 0.05; done; echo this is why; exit 3
held:
	@exec 3> held.pipe; echo is held; sleep 600 & touch held.began; sleep 600
never:
	@touch never.began
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a Makefile of such stages."""
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    os.mkfifo(tmp_path / "held.pipe")
    return tmp_path


@pytest.fixture
def held(checkout: Path) -> Iterator[int]:
    """The end of the pipe for reading: nothing can be read while somebody has it open."""
    descriptor = os.open(checkout / "held.pipe", os.O_RDONLY | os.O_NONBLOCK)
    yield descriptor
    os.close(descriptor)


def start(checkout: Path, *arguments: str) -> subprocess.Popen[str]:
    """Run stages in a checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "tools.stages", *arguments]
    return subprocess.Popen(
        command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run(checkout: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit status and the output of stages."""
    process = start(checkout, *arguments)
    try:
        output, _ = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        raise
    return process.returncode, output


def read_table(checkout: Path) -> dict[str, str]:
    """Return what the table says of each stage, without its time."""
    lines = (checkout / "build/stages.txt").read_text(encoding="utf-8").splitlines()
    return {line.split()[0]: " ".join(line.split()[3:]) for line in lines}


def test_stages_of_two_lanes_run_at_the_same_time_and_those_of_a_lane_do_not(checkout: Path) -> None:
    """The first two wait for each other; the third needs that the second has begun before."""
    status, output = run(checkout, "first+second,third", "never")
    assert status == 0, output
    assert (checkout / "third.began").exists()
    assert (checkout / "never.began").exists()
    assert read_table(checkout) == {
        "first": "beside second, third",
        "second": "beside first nobody was there",
        "third": "beside first",
        "never": "",
        "total": "",
    }


def test_the_output_of_each_stage_stays_together(checkout: Path) -> None:
    """It is printed as soon as the stage has ended."""
    _, output = run(checkout, "first+second")
    assert "second began\nsecond ends\n" in output
    assert "first began\nfirst ends\n" in output
    assert output.index("second ends") < output.index("first began")


def test_the_last_line_sums_up_the_tests_of_all_stages(checkout: Path) -> None:
    """The line has the form of pytest's own."""
    _, output = run(checkout, "first+second")
    assert output.splitlines()[-1].startswith("===== 7 passed, 1 skipped, 1 failed in ")


def test_the_total_is_the_time_that_passed_and_not_the_sum(checkout: Path) -> None:
    """The figures hold it with the processors and the commit."""
    run(checkout, "first+second")
    figures = json.loads((checkout / "build/stages.json").read_text(encoding="utf-8"))
    assert figures.keys() == {"commit", "processors", "total_s", "stages"}
    assert [each["name"] for each in figures["stages"]] == ["first", "second"]
    assert figures["stages"][1]["note"] == "nobody was there"


def test_a_stage_that_fails_ends_all_that_run_beside_it(checkout: Path, held: int) -> None:
    """Their child processes end too; no later stage begins, and the table says so."""
    status, output = run(checkout, "held+broken", "never")
    assert status == 1
    assert "this is why" in output
    assert "is held" in output
    assert output.splitlines()[-1].startswith("===== held did not succeed: broken did not succeed: no tests in ")
    assert os.read(held, 1) == b"", "somebody is alive"
    assert not (checkout / "never.began").exists()
    assert read_table(checkout) == {
        "held": "beside broken ended before its end",
        "broken": "beside held FAILED",
        "total": "",
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("lanes", [("held",), ("held+first",)])
def test_a_signal_ends_everything_and_shows_what_was_printed(
    checkout: Path, held: int, number: int, lanes: tuple[str, ...]
) -> None:
    """Whether a stage runs alone or not; the status is that of a shell."""
    process = start(checkout, *lanes, "never")
    deadline = time.monotonic() + PATIENCE_S
    while not (checkout / "held.began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number
    assert "is held" in output
    assert os.read(held, 1) == b"", "somebody is alive"
    assert not (checkout / "never.began").exists()


def test_a_stage_that_does_not_listen_is_killed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that others have to end what they have begun."""
    (checkout / "Makefile").write_text("deaf:\n\t@trap '' INT; touch deaf.began; while :; do sleep 0.1; done\n")
    monkeypatch.chdir(checkout)
    stages.FOLDER.mkdir(parents=True)
    stage = stages.Stage.start("deaf", "make", ())
    while not Path("deaf.began").exists():
        time.sleep(0.05)
    stage.interrupt()
    stage.wait_or_kill(time.monotonic() + 0.5)
    assert stage.status == -signal.SIGKILL


@pytest.mark.parametrize("arguments", [("first", "first"), ("first+first",), ("first+",), ("first,,third",)])
def test_a_stage_without_a_name_or_named_twice_is_refused(arguments: tuple[str, ...]) -> None:
    """Its log and its line of the table would be another's."""
    with pytest.raises(stages.InvalidStage):
        stages.parse_groups(arguments)
