"""The README's tour, run as it stands: every command, and every answer it shows."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cloud import ROOT, RunningCloud, build_terminal_environment, run_cloud, wait_until

README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = README[README.index("## A tour") : README.index("## How the pieces fit")]
BLOCK = re.compile(r"```(sh|json)\n(.*?)```", re.DOTALL)
MARK = "=== end of a step ==="


@pytest.fixture
def fresh_cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    """Yield a cloud that nobody has used: the tour's numbers begin at 1."""
    with run_cloud(tmp_path / "state") as started:
        yield started


def steps() -> list[tuple[str, str]]:
    """Return each step's commands, and the answer shown below them."""
    blocks = BLOCK.findall(TOUR)
    assert [kind for kind, _ in blocks] == ["sh", "json"] * (len(blocks) // 2)
    return [(blocks[n][1], blocks[n + 1][1]) for n in range(0, len(blocks), 2)]


def compact(text: str) -> str:
    """Return JSON without the white space between its tokens."""
    return re.sub(r'("(?:[^"\\]|\\.)*")|\s+', lambda m: m[1] or "", text)


def shows(answer: str, shown: str) -> bool:
    """Return whether an answer is the one that the README shows; `…` stands for anything."""
    pieces = [re.escape(piece) for piece in compact(shown).split("…")]
    return re.fullmatch(".*?".join(pieces), compact(answer), re.DOTALL) is not None


def test_the_tour_runs_as_written_and_answers_as_shown(fresh_cloud: RunningCloud) -> None:
    """The test replaces only the address of the cloud and the place of its state."""
    script = "".join(f"{commands}\necho '{MARK}'\n" for commands, _ in steps())
    script = "set -euo pipefail\n" + script.replace("http://127.0.0.1:3000", fresh_cloud.origin)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        # As the cloud's terminal: along another PATH make might find another Python, and install for it.
        env={**build_terminal_environment(), "STATE": str(fresh_cloud.folder), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = done.stdout.split(f"{MARK}\n")[:-1]
    assert all(answer.endswith("\n") for answer in answers), "a terminal's prompt would stand behind an answer"
    for (commands, shown), answer in zip(steps(), answers, strict=True):
        assert shows(answer, shown), f"after\n{commands}\nthe README shows\n{shown}\nand the answer was\n{answer}"
    assert wait_until(
        lambda: fresh_cloud.list_mails("besa@example.test"), "her welcome, at the template's rate of mails"
    )


@pytest.mark.parametrize(
    ("answer", "shown", "same"),
    [
        ('{"a": 1, "b": "x y"}', '{"a":1,…}', True),
        ('{"a": 1, "b": "x y"}', '{"a":1,"b":"x y"}', True),
        ('{"a": 1, "b": "x y"}', '{"a":1,"b":"xy"}', False),
        ('{"a": 1}', '{"a":2}', False),
        ('{"a": 1}{"b": 2}', '{"a":1}', False),
    ],
)
def test_what_is_shown_must_be_what_was_answered(answer: str, shown: str, *, same: bool) -> None:
    """The comparison above can fail."""
    assert shows(answer, shown) is same
