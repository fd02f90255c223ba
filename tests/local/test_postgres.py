"""PostgreSQL as the local cloud runs it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from local import postgres, unprivileged
from local.postgres import PostgresServer
from local.unprivileged import UserSwitch
from tests.services import find_free_port


@contextmanager
def run_server(folder: Path, user_switch: UserSwitch) -> Iterator[PostgresServer]:
    """Run a server on a free port, its data in the runner's folder."""
    folder.mkdir(exist_ok=True)
    server = PostgresServer(user_switch.folder, find_free_port(), folder / "postgres.log", user_switch)
    child = postgres.start(server)
    try:
        child.wait_until(postgres.make_ready_check(server, child), postgres.READY_SECONDS)
        yield server
    finally:
        child.stop()


@pytest.fixture
def user_switch(tmp_path: Path) -> UserSwitch:
    """Return the way this user runs it."""
    return unprivileged.choose_user_switch(postgres.find_binaries(), tmp_path / "postgres")


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path, user_switch: UserSwitch) -> None:
    """The cluster is made once, in its own folder, by root too."""
    with (
        run_server(tmp_path, user_switch) as server,
        psycopg.connect(server.build_dsn(), autocommit=True) as connection,
    ):
        connection.execute("CREATE TABLE kept AS SELECT 'ë' AS letter")
    with (
        run_server(tmp_path, user_switch) as server,
        psycopg.connect(server.build_dsn(), autocommit=True) as connection,
    ):
        assert connection.execute("SELECT letter FROM kept").fetchone() == ("ë",)
        settings = "SELECT current_setting('fsync'), current_setting('max_connections'), current_setting('timezone')"
        assert connection.execute(settings).fetchone() == ("on", "100", "UTC")
        assert connection.execute(
            "SELECT datcollate, datlocprovider FROM pg_database WHERE datname = 'interdomestik'"
        ).fetchone() == ("C", "b")


def test_the_owner_is_no_superuser_but_may_make_roles(tmp_path: Path, user_switch: UserSwitch) -> None:
    """RDS's main user has the same rights, so a migration that needs more fails here first."""
    with (
        run_server(tmp_path, user_switch) as server,
        psycopg.connect(server.build_dsn(), autocommit=True) as connection,
    ):
        row = connection.execute("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (False, True)


def test_the_database_listens_on_loopback_only(tmp_path: Path, user_switch: UserSwitch) -> None:
    """Trust is for this machine; there is no socket file either."""
    with run_server(tmp_path, user_switch) as server:
        lines = (server.data / "postmaster.pid").read_text().splitlines()
        assert (lines[4], lines[5]) == ("", "127.0.0.1")
        assert (server.data / "pg_hba.conf").read_text() == postgres.HBA


def test_a_failed_statement_leaves_no_data_in_the_log(tmp_path: Path, user_switch: UserSwitch) -> None:
    """Errors carry what people wrote; the log has none of it."""
    wrong = pytest.raises(psycopg.errors.InvalidTextRepresentation)
    with run_server(tmp_path, user_switch) as server, wrong, psycopg.connect(server.build_dsn()) as connection:
        connection.execute("SELECT %s::text::integer", ("besa@example.test",))
    assert "example.test" not in server.log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another uid")
def test_root_without_namespaces_runs_it_under_another_uid(tmp_path: Path) -> None:
    """A container may refuse user namespaces; data and programs then go where that uid can reach them."""
    runner = unprivileged.make_other_uid_switch(postgres.find_binaries(), tmp_path / "postgres")
    try:
        with run_server(tmp_path, runner) as server, psycopg.connect(server.build_dsn(), autocommit=True) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert server.data.stat().st_uid != 0
    finally:
        unprivileged.remove_data(runner)


def test_programs_below_a_private_folder_are_copied_with_their_libraries(tmp_path: Path) -> None:
    """Nobody may enter /root, so what is there is copied out, once."""
    package = tmp_path / "private/site/embedded"
    (package / "install/bin").mkdir(parents=True)
    (package / "install/bin/postgres").write_text("program")
    (package.with_name("embedded.libs")).mkdir()
    (tmp_path / "private").chmod(0o700)
    binaries = unprivileged.make_reachable(package / "install/bin", tmp_path / "place")
    assert binaries == tmp_path / "place/programs/embedded/install/bin"
    assert (binaries / "postgres").read_text() == "program"
    assert (tmp_path / "place/programs/embedded.libs").is_dir()
