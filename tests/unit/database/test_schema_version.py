"""The schema's version is one statement, whose row says what a release lacks."""

from pathlib import Path

import pytest

from shared.database.schema_version import SQL, SchemaVersion, find_migrations, list_shipped, query_schema_version
from shared.database.transaction import Pending
from tests.fakes.transactions import QueuedStatement, ScriptedTransaction


def test_the_version_is_queried_for_the_migrations_that_a_release_ships_with() -> None:
    """And read from the statement's row."""
    tx = ScriptedTransaction({SQL["schema_version"]: {"newest": "0002_b", "missing": ["0003_c"]}})
    pending = query_schema_version(tx, ("0002_b", "0003_c"))
    assert tx.statements == [QueuedStatement(SQL["schema_version"], {"shipped": ["0002_b", "0003_c"]})]
    assert pending.resolve() == SchemaVersion("0002_b", ("0003_c",))


def test_the_nearest_folder_of_migrations_counts(tmp_path: Path) -> None:
    """A file of that name is none."""
    package = tmp_path / "a/b/c/module.py"
    package.parent.mkdir(parents=True)
    (tmp_path / "migrations").mkdir()
    (tmp_path / "a/migrations").mkdir()
    (tmp_path / "a/b/migrations").touch()
    assert find_migrations({}, package) == tmp_path / "a/migrations"


def test_what_is_missing_is_named_where_it_was_looked_for(tmp_path: Path) -> None:
    """An operator reads it in the log."""
    package = Path("/nowhere/shared/database/module.py")
    with pytest.raises(FileNotFoundError, match=r"^no folder migrations above /nowhere/shared/database/module.py$"):
        find_migrations({}, package)
    with pytest.raises(FileNotFoundError, match=f"^no migrations in {tmp_path}$"):
        list_shipped({"MIGRATIONS_DIR": str(tmp_path)})


def test_a_pending_value_is_changed_once_it_is_known() -> None:
    """It is not changed before."""
    known: list[int] = []
    pending = Pending(known.pop).map(lambda value: value + 1)
    known.append(6)
    assert pending.resolve() == 7
