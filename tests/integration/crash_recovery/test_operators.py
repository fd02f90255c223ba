"""Operators' commands that are killed at any crash point and repeated leave what one undisturbed run leaves."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from operations.app import COMMANDS as OPERATORS_COMMANDS
from tests.crash_recovery.environment import CrashPoint, CrashTestEnvironment, ProcessResult
from tests.crash_recovery.kill_runs import list_added
from tests.crash_recovery.operators import COMMANDS, HANDLER, OWNER, OperatorProcesses
from tests.databases import MIGRATIONS
from tests.measurements import record

# `circuits` only reads, and `migrate` has a database of its own below.
OTHERS = {"circuits", "migrate"}
# One entry names who did it; a freed member's commission is voided with an entry of its own. A lost write has one, and
# a mail that may have been sent another.
AUDIT_ENTRIES = {"free-address of a member": 2, "reconcile-restore": 2}
FEW_MIGRATIONS = 5  # with the audit's table among them


@pytest.fixture(scope="module")
def operators(crash_test: CrashTestEnvironment) -> OperatorProcesses:
    """Return the operators' function."""
    return OperatorProcesses.make_in(crash_test)


def run_on_own_records(
    operators: OperatorProcesses, command: str, kill: CrashPoint | None = None
) -> tuple[ProcessResult, Any, Mapping[str, int]]:
    """Run a command on sample records of its own, and once more if it was killed.

    Return the last run, what is left, and the rows that came by it.
    """
    prepared = COMMANDS[command](operators)
    before = operators.environment.count_rows()
    result = operators.run(prepared.event, kill)
    if kill is not None:
        assert result.killed, (command, kill)
        result = operators.run(prepared.event)
    assert result.error is None, (command, kill, result.error)
    return result, prepared.read_state(), list_added(before, operators.environment.count_rows())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_killed_at_any_crash_point_and_repeated_leaves_what_one_run_leaves(
    operators: OperatorProcesses, command: str
) -> None:
    """Tables, audit, user pool and circuits are the same, and no other table has a row more."""
    reference, left, rows = run_on_own_records(operators, command)
    wrong = []
    for crash_point in reference.points:
        _, found, came = run_on_own_records(operators, command, kill=crash_point)
        if (found, came) != (left, rows):
            wrong.append(f"{crash_point}: left {found} and {came}, the twin {left} and {rows}")
    record("kill_points_operators", command=command, killed=len(reference.points), wrong=len(wrong))
    assert wrong == []
    assert len(reference.points) >= 4, "a connection and a transaction at least"
    assert rows["audit"] == AUDIT_ENTRIES.get(command, 1), "who did it is written down, once"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_repeated_after_its_end_adds_nothing(operators: OperatorProcesses, command: str) -> None:
    """An operator who has not seen the answer runs it again."""
    prepared = COMMANDS[command](operators)
    assert operators.run(prepared.event).error is None
    left, before = prepared.read_state(), operators.environment.count_rows()
    assert operators.run(prepared.event).error is None
    assert (prepared.read_state(), list_added(before, operators.environment.count_rows())) == (left, {})


def test_no_command_is_left_out() -> None:
    """Every command has its sample records."""
    assert {name.partition(",")[0].partition(" ")[0] for name in COMMANDS} | OTHERS == set(OPERATORS_COMMANDS)


@pytest.fixture
def few(crash_test: CrashTestEnvironment, tmp_path: Path) -> Iterator[Path]:
    """Yield the first migrations; the role's limit of connections is what it was afterwards."""
    for path in sorted(MIGRATIONS.glob("*.sql"))[:FEW_MIGRATIONS]:
        shutil.copy(path, tmp_path)
    yield tmp_path
    crash_test.fresh_database.postgres.execute("ALTER ROLE interdomestik_app CONNECTION LIMIT -1")


def migrate_with_kill(
    crash_test: CrashTestEnvironment, directory: Path, kill: CrashPoint | None = None
) -> tuple[ProcessResult, list[Any]]:
    """Migrate an empty database, and once more if that was killed; return the last run and what the database has."""
    name = f"migrated_{uuid4().hex}"
    crash_test.fresh_database.postgres.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
    own = {
        "DB_NAME": name,
        "DB_PORT": str(crash_test.fresh_database.postgres.server.port),
        "DB_SSLMODE": "disable",
    }  # migrations would pin a proxy's session
    processes = crash_test.start_processes(**own, DB_USER=OWNER, MIGRATIONS_DIR=os.fspath(directory))
    result = processes.run(HANDLER, {"command": "migrate"}, kill=kill)
    if kill is not None:
        assert result.killed, kill
        result = processes.run(HANDLER, {"command": "migrate"})
    processes.stop()
    assert result.error is None, (kill, result.error)
    return result, _read_schema(crash_test, name)


def _read_schema(crash_test: CrashTestEnvironment, name: str) -> list[Any]:
    """Return what was applied, how often and by whom that was written down, and how many columns there are."""
    with psycopg.connect(
        crash_test.fresh_database.postgres.build_conninfo(dbname=name), row_factory=dict_row
    ) as connection:
        queries = (
            "SELECT version FROM schema_migrations ORDER BY version",
            "SELECT action, actor, facts FROM audit",
            "SELECT count(*) AS n FROM information_schema.columns WHERE table_schema = 'public'",
        )
        return [connection.execute(query.encode()).fetchall() for query in queries]


def test_migrate_killed_at_any_crash_point_and_repeated_applies_and_records_each_migration_once(
    crash_test: CrashTestEnvironment, few: Path
) -> None:
    """This holds also if it dies between the last migration and the audit's entry."""
    reference, left = migrate_with_kill(crash_test, few)
    wrong = [f"{crash_point}: left {found}, the twin {left}" for crash_point in reference.points
             if (found := migrate_with_kill(crash_test, few, crash_point)[1]) != left]  # fmt: skip
    record("kill_points_operators", command="migrate", killed=len(reference.points), wrong=len(wrong))
    assert wrong == []
    assert len(reference.points) >= 2 * FEW_MIGRATIONS + 4
    assert [entry["facts"] for entry in left[1]] == [{"applied": reference.answer["applied"]}]
