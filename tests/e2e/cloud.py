"""A local cloud of the tests' own, as `make up` starts it, and clients that come from many addresses."""

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg
from psycopg.rows import dict_row

from local.postgres import DATABASE, SUPERUSER
from local.state_folder import StateFolder

ROOT = Path(__file__).resolve().parents[2]
LOCAL_PYTHON = ROOT / ".venvs/local/bin/python"
START_S = 180.0
STOP_S = 30.0
MAIL_S = 60.0  # from the answer to the inbox: relay, queue, worker, and the schedule's minute if a wake-up is lost

# The rate of a stack as deployed, one mail a second, is what test_mail_rate.py and the tour run with. Other tests wait
# for many mails whose rate is not the point.
QUICK_MAIL = ("--parameter", "MailRate=1000", "--parameter", "MailBurst=1000")

RELEASE = "0123456789ab"  # the release that the session's cloud runs

T = TypeVar("T")

_serial = itertools.count(1)


def get_next_serial() -> int:
    """Return another number at each call."""
    return next(_serial)


def wait_until(query: Callable[[], T | None], what: str, seconds: float = MAIL_S) -> T:
    """Return what `query` finds as soon as it finds something; fail, and name `what`, when the time is up."""
    deadline = time.monotonic() + seconds
    while not (found := query()):
        assert time.monotonic() < deadline, f"not seen within {seconds:.0f} s: {what}"
        time.sleep(0.2)
    return found


@dataclass(frozen=True)
class RunningCloud:
    """A running local cloud; `url` is the API's base."""

    origin: str
    folder: Path
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """The API's base path on it."""
        return f"{self.origin}/api"

    def make_client(self, address: str | None = None, token: str | None = None) -> httpx.Client:
        """Return a client at a loopback address (another one each time, unless it is named), signed in or not."""
        number = get_next_serial()
        source = address or f"127.1.{number // 250}.{number % 250 + 1}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.HTTPTransport(local_address=source)
        return httpx.Client(base_url=self.url, headers=headers, transport=transport, timeout=60)

    def get_token(self, *, role: str | None = None, email: str | None = None) -> str:
        """Return the token that `make -s token` prints."""
        wanted = [*(["--role", role] if role else []), *(["--email", email] if email else [])]
        done = self.run_command("token", *wanted)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.split()) == 1, "nothing but the token is printed"
        return done.stdout.strip()

    def run_command(self, *arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Run another command about this cloud, of the checkout that it runs; return its output."""
        line = [str(LOCAL_PYTHON), "-m", "local", "--state", str(self.folder), *arguments]
        return subprocess.run(line, cwd=root, capture_output=True, text=True, timeout=60, check=False)

    def list_mails(self, to: str | None = None) -> list[dict[str, Any]]:
        """Return the inbox, newest first."""
        found: list[dict[str, Any]] = httpx.get(f"{self.origin}/_local/mail.json", timeout=30).json()
        return [mail for mail in found if to is None or to in str(mail["to"])]

    def query_rows(self, query: str, *params: object) -> list[dict[str, Any]]:
        """Return rows as the superuser reads them: the deployed limit leaves a single session to others."""
        port = StateFolder(ROOT, self.folder).read_state().ports["postgres"]
        conninfo = f"host=127.0.0.1 port={port} user={SUPERUSER} dbname={DATABASE}"
        with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), params)
            return cursor.fetchall() if cursor.description is not None else []

    def count_rows(self, *tables: str) -> dict[str, int]:
        """Return how many rows tables hold."""
        return {table: self.query_rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables}

    def read_logs(self) -> str:
        """Return all that was logged."""
        return "".join(p.read_text(errors="replace") for p in sorted((self.folder / "logs").rglob("*")) if p.is_file())

    def find_personal_data_in_logs(self, least: int = 6) -> list[str]:
        """Return the names, addresses, phones and cases of people that stand in the logs, of at least `least`
        characters.
        """
        people = self.query_rows("SELECT email, full_name, phone FROM accounts")
        cases = self.query_rows("SELECT title, description FROM claims")
        texts = {str(text) for row in people + cases for text in row.values() if text is not None}
        logged = self.read_logs()
        return sorted(text for text in texts if len(text) >= least and text in logged)

    def stop(self) -> int:
        """End it as Ctrl-C does; its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)


def build_terminal_environment() -> dict[str, str]:
    """Return this process's environment without what tests, make or AWS have put into it."""
    ours = ("AWS_", "PYTEST_", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def start(folder: Path, *arguments: str, root: Path = ROOT, python: Path = LOCAL_PYTHON) -> RunningCloud:
    """Start a local cloud of a checkout and wait for its last line; fail with all it printed if that does not come."""
    line = [str(python), "-m", "local", "--state", str(folder), "up", "--port", "0", *arguments]
    process = subprocess.Popen(
        line, cwd=root, env=build_terminal_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return RunningCloud(_wait_until_ready(process), folder, process)


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said: list[str] = []
    deadline = time.monotonic() + START_S
    for line in process.stdout:
        said.append(line)
        if line.startswith("ready "):
            return line.split()[1].removesuffix("/api")
        if time.monotonic() > deadline:
            break
    process.kill()
    raise AssertionError("the local cloud did not start:\n" + "".join(said))


@contextmanager
def run_cloud(folder: Path, *arguments: str, root: Path = ROOT, python: Path = LOCAL_PYTHON) -> Iterator[RunningCloud]:
    """Run a local cloud, gone when the block ends."""
    cloud = start(folder, *arguments, root=root, python=python)
    try:
        yield cloud
    finally:
        if cloud.process.poll() is None:
            cloud.stop()


def read_problem(reply: httpx.Response) -> str:
    """Return the name of the problem in a reply."""
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    return str(json.loads(reply.text)["type"]).rpartition(":")[2]
