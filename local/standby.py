"""A synchronous streaming standby of a PostgreSQL server: copied at each start, ready to be promoted.

Promote it by SQL, `SELECT pg_promote()`. The former writer keeps running, but confirms no more commits, as it waits for
the standby that it has lost. The database proxy, which then redirects its clients, ends their sessions there.
"""

import shutil
import subprocess

import psycopg

from local import postgres
from local.postgres import PostgresServer, PostgresStartError
from local.processes import ChildProcess

SYNCHRONOUS = "synchronous_standby_names"


def start(writer: PostgresServer, standby: PostgresServer, **settings: str) -> ChildProcess:
    """Copy a running writer and start the copy; return before it is ready. Raise PostgresStartError."""
    shutil.rmtree(standby.folder, ignore_errors=True)
    standby.user_switch.give_ownership(standby.folder)
    source = f"host=127.0.0.1 port={writer.port} user=postgres"
    program = str(standby.user_switch.binaries / "pg_basebackup")
    done = subprocess.run(
        [program, "-D", str(standby.data), "-d", source, "-R", "-c", "fast", "--no-sync"],
        env=postgres.build_environment(standby),
        cwd=standby.folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=standby.user_switch.prepare,
    )
    if done.returncode != 0:
        raise PostgresStartError(f"pg_basebackup failed:\n{done.stdout}{done.stderr}")
    return postgres.start(standby, **settings)


def synchronise(writer: PostgresServer) -> None:
    """Make the writer's commits wait for its standby, which takes effect once `is_synchronous`."""
    with psycopg.connect(writer.build_dsn("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET {SYNCHRONOUS} = '*'")
        connection.execute("SELECT pg_reload_conf()")


def is_synchronous(writer: PostgresServer) -> bool:
    """Return whether commits wait for a standby that is connected."""
    with psycopg.connect(writer.build_dsn("postgres", "postgres"), autocommit=True) as connection:
        return connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall() == [("sync",)]


def forget_standby(server: PostgresServer) -> None:
    """Remove the wait for a standby from a server that is not running: the standby of an earlier run is gone."""
    settings = server.data / "postgresql.auto.conf"
    if settings.exists():
        lines = settings.read_text().splitlines(keepends=True)
        settings.write_text("".join(line for line in lines if not line.startswith(SYNCHRONOUS)))
