"""`make up` as a person has it: one command, and nothing left of it."""

import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import processes

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(
    # to the letter
    r"ready  (http://127\.0\.0\.1:\d+)/api   start \1/   docs \1/_local/docs   mail \1/_local/mail"
    r"   dashboard \1/_local/dashboard\n"
)
END_S = 30.0
STOP_S = 10.0  # a few are promised, and three are usual with nothing else to do; a part that hangs has fifteen


@dataclass
class StartedCloud:
    """A started `local up`. `lines` is what it printed until it was ready."""

    process: subprocess.Popen[str]
    lines: list[str]

    @property
    def url(self) -> str:
        """The front's address."""
        match = READY.fullmatch(self.lines[-1])
        assert match, self.lines
        return match[1]

    def end(self, number: signal.Signals) -> str:
        """Sends a signal and returns what was still printed."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=END_S)[0]


def command(state: Path, *arguments: str) -> list[str]:
    """Return the command line that make uses."""
    return [str(ROOT / ".venvs/local/bin/python"), "-m", "local", "--state", str(state), *arguments]


@contextmanager
def run_cloud(state: Path, *options: str, port: str = "0") -> Iterator[StartedCloud]:
    """Run a local cloud, by default on a free port, until it is ready; end it with the block if it still runs."""
    arguments = command(state, "up", "--port", port, *options)
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ready"):
            break
    try:
        yield StartedCloud(process, lines)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=END_S)


def list_descendants(pid: int) -> dict[int, str | None]:
    """Return all processes below one, with their starts."""
    parents = {int(path.name): read_parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    found, new = set(), {pid}
    while new:
        found |= new
        new = {child for child, its_parent in parents.items() if its_parent in new} - found
    return {each: processes.read_start_time(each) for each in found}


def read_parent(process: Path) -> int:
    """Return the parent's pid; 0 where the process has gone meanwhile."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def is_family_gone(started: dict[int, str | None], seconds: float = END_S) -> bool:
    """Return whether all these processes ended in time."""
    deadline = time.monotonic() + seconds
    while any(processes.read_start_time(pid) == start for pid, start in started.items() if start):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state folder that the tests of this module use one after the other."""
    return tmp_path_factory.mktemp("cloud") / "state"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["INT", "TERM", "HUP"])
def test_a_request_to_stop_leaves_no_process_behind(state: Path, number: signal.Signals) -> None:
    """Ctrl-C, a terminal that closes, a service manager: status 0, nothing printed, nothing running."""
    with run_cloud(state) as cloud:
        processes = list_descendants(cloud.process.pid)
        assert len(processes) > 5
        rest = cloud.end(number)
    assert (cloud.process.returncode, rest) == (0, "")
    assert is_family_gone(processes)


def test_a_second_start_deploys_nothing_and_keeps_what_was_there(state: Path) -> None:
    """The state of the first start is used as it is."""
    with run_cloud(state) as cloud:
        first = json.loads((state / "stack.json").read_text())
        port = cloud.url.rpartition(":")[2]
    with run_cloud(state, port=port) as cloud:
        assert any("stack is up to date" in line for line in cloud.lines)
        assert json.loads((state / "stack.json").read_text()) == first


def test_the_front_answers_when_the_ready_line_is_printed(state: Path) -> None:
    """No moment of refusals in between."""
    with run_cloud(state) as cloud, urllib.request.urlopen(f"{cloud.url}/_local/status") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("name", ["postgres", "emulator", "gateway"])
def test_a_crash_of_any_part_is_reported_by_name_and_ends_the_rest(state: Path, name: str) -> None:
    """The name, how it ended, its last log lines if it wrote any, status 1."""
    with run_cloud(state) as cloud:
        processes = list_descendants(cloud.process.pid)
        pids = {child["name"]: child["pid"] for child in json.loads((state / "state.json").read_text())["children"]}
        subprocess.run(["kill", "-KILL", str(pids[name])], check=True)
        rest = cloud.process.communicate(timeout=END_S)[0]
    assert cloud.process.returncode == 1
    assert f"{name} was ended by SIGKILL; " in rest
    assert f"{state}/logs/{name}.log" in rest
    assert is_family_gone(processes)


def test_make_down_ends_it_from_another_terminal_and_make_url_says_where_it_is(state: Path) -> None:
    """`make -s url` prints nothing else; after `make down` it has ended, as by Ctrl-C, within seconds."""
    with run_cloud(state) as cloud:
        url = subprocess.run(command(state, "url"), cwd=ROOT, capture_output=True, text=True, check=True)
        assert url.stdout == f"{cloud.url}/api\n"
        began = time.monotonic()
        down = subprocess.run(command(state, "down"), cwd=ROOT, capture_output=True, text=True, check=True)
        assert (down.stdout, cloud.process.wait(END_S)) == ("", 0)
        assert time.monotonic() - began < STOP_S


def test_a_start_right_after_a_kill_finds_everything_in_order(state: Path) -> None:
    """SIGKILL to the supervisor: its parts end, and the next start waits for them."""
    with run_cloud(state) as cloud:
        processes = list_descendants(cloud.process.pid)
        cloud.process.kill()
        cloud.process.communicate()
        with run_cloud(state) as again:
            assert again.url
            assert is_family_gone(processes)


def test_two_clouds_run_side_by_side(state: Path, tmp_path: Path) -> None:
    """Each with its own ports."""
    with run_cloud(state) as one, run_cloud(tmp_path / "other") as two:
        assert one.url != two.url
        ports = [json.loads((folder / "state.json").read_text())["ports"] for folder in (state, tmp_path / "other")]
    assert not set(ports[0].values()) & set(ports[1].values())


def test_a_port_in_use_is_one_line_and_starts_nothing(state: Path, tmp_path: Path) -> None:
    """The port is checked before anything else is done."""
    with run_cloud(state) as cloud:
        port = cloud.url.rpartition(":")[2]
        arguments = command(tmp_path / "other", "up", "--port", port)
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=END_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"port {port} is in use. Another one: make up PORT={int(port) + 1}\n"


def test_reset_refuses_while_it_runs_and_then_leaves_nothing(tmp_path: Path) -> None:
    """The folder is gone, whoever's uid its parts had."""
    state = tmp_path / "state"
    with run_cloud(state):
        refused = subprocess.run(command(state, "reset"), cwd=ROOT, capture_output=True, text=True, check=False)
        assert (refused.returncode, "already running" in refused.stderr) == (1, True)
    subprocess.run(command(state, "reset"), cwd=ROOT, check=True)
    assert not state.exists()
