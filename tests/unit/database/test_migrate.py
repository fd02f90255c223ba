"""A run of the migrations, statement by statement, on a connection that a test answers for."""

import hashlib
from pathlib import Path

import psycopg
import pytest
from psycopg import errors as pg
from psycopg.rows import tuple_row

from shared.database import migrate as module
from shared.database.migrate import Migration, main, migrate, read_migrations
from shared.database.migration_errors import (
    MigrationChecksumMismatch,
    StatementFailed,
)
from tests.unit.database.database_errors import make_error
from tests.unit.database.migration_server import (
    FIND,
    KEEP,
    LOCK_LEDGER,
    FakeServer,
    make_limits,
)


def compute_checksum(text: str) -> str:
    """Return the checksum of a migration."""
    return hashlib.sha256(text.encode()).hexdigest()


# ---- the files -------------------------------------------------------------------------------------------------------
def test_migrations_are_read_in_their_order(folder: Path) -> None:
    """Files whose names begin with a digit; their text is UTF-8."""
    assert read_migrations(folder) == [
        Migration("0001_a", "CREATE TABLE ë ();"),
        Migration("0002_b", "CREATE TABLE b ();"),
    ]


def test_a_migration_has_the_checksums_of_its_text_and_of_former_texts() -> None:
    """A comment of its own names each of the former ones."""
    former = ["0" * 64, "abcdef0123456789" * 4]
    text = (
        f"-- Formerly: {former[0]}\nSELECT 1;\n-- Formerly: {former[1]} (before the roles)\n --  Formerly: {'1' * 64}"
    )
    migration = Migration("0001_a", text)
    assert migration.checksum == compute_checksum(text)
    assert migration.former_checksums == former


# ---- a run -----------------------------------------------------------------------------------------------------------
def test_each_migration_is_applied_in_a_transaction_of_its_own(server: FakeServer, folder: Path) -> None:
    """After the lock on the ledger, and together with its row there."""
    assert migrate("host=x", folder) == ["0001_a", "0002_b"]
    texts = {"0001_a": "CREATE TABLE ë ();", "0002_b": "CREATE TABLE b ();"}
    transactions = [
        ["BEGIN", LOCK_LEDGER, (FIND, (name,)), text, (KEEP, (name, compute_checksum(text))), "COMMIT"]
        for name, text in texts.items()
    ]
    assert server.steps == [module._CREATE_LEDGER, *transactions[0], *transactions[1], "disconnect"]


def test_the_connection_prepares_nothing_and_commits_by_itself(server: FakeServer, tmp_path: Path) -> None:
    """The proxy would pin it; what the caller adds is passed on."""
    migrate("host=x", tmp_path, password="p4ss", sslmode="require")
    assert server.connects == [
        (
            "host=x",
            {
                "password": "p4ss",
                "sslmode": "require",
                "autocommit": True,
                "prepare_threshold": None,
                "row_factory": tuple_row,
            },
        )
    ]


def test_what_the_ledger_has_is_not_applied_again(server: FakeServer, folder: Path) -> None:
    """Under its checksum, or a former one that the file names."""
    old = compute_checksum("what it was")
    (folder / "0002_b.sql").write_text(f"-- Formerly: {old}\nSELECT 2;", encoding="utf-8")
    server.ledger = {"0001_a": compute_checksum("CREATE TABLE ë ();"), "0002_b": old}
    assert migrate("host=x", folder) == []
    assert [step for step in server.steps if step[0] == KEEP] == []
    assert server.ledger["0002_b"] == old


def test_a_migration_that_was_changed_is_refused(server: FakeServer, folder: Path) -> None:
    """It is named, and those after it are not applied."""
    server.ledger = {"0001_a": compute_checksum("another text")}
    with pytest.raises(
        MigrationChecksumMismatch, match=r"^0001_a was changed after it was applied; write a new migration$"
    ):
        migrate("host=x", folder)
    assert server.steps[-2:] == ["ROLLBACK", "disconnect"]


@pytest.mark.parametrize("kind", [pg.UniqueViolation, pg.DuplicateTable, pg.DuplicateObject])
def test_a_ledger_that_another_run_makes_at_the_same_moment_is_there(
    server: FakeServer, tmp_path: Path, kind: type[psycopg.Error]
) -> None:
    """The statement finds it when it is repeated."""
    server.errors["CREATE TABLE IF NOT EXISTS"] = [kind()]
    assert migrate("host=x", tmp_path) == []
    assert server.steps == [module._CREATE_LEDGER, "disconnect"]


def test_a_ledger_that_can_not_be_made_is_named(server: FakeServer, tmp_path: Path) -> None:
    """The error quotes what the server says."""
    server.errors["CREATE TABLE IF NOT EXISTS"] = [make_error(pg.InsufficientPrivilege, message_primary="no")]
    with pytest.raises(
        StatementFailed,
        match=r"^the table schema_migrations failed, and nothing of it stays: InsufficientPrivilege \(SQLSTATE 42501",
    ):
        migrate("host=x", tmp_path)


def test_a_process_can_die_before_and_after_a_migration(
    server: FakeServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests end the process at these two named places; a migration that is applied already passes none."""
    passed: list[tuple[str, int]] = []
    monkeypatch.setattr(module, "crash_point", lambda name: passed.append((name, len(server.ledger))))
    server.ledger = {"0001_a": compute_checksum("CREATE TABLE ë ();")}
    migrate("host=x", folder)
    assert passed == [("migration.begun", 1), ("migration.applied", 2)]


# ---- roles -----------------------------------------------------------------------------------------------------------
def test_limits_of_connections_are_set_where_they_differ(server: FakeServer, tmp_path: Path) -> None:
    """Each role gets the whole number, the database five more; in a turn of its own, after the migrations."""
    server.rows = {"rolconnlimit <> %s": [("fn_a",), ('fn"b',)], "datconnlimit <> %s": [("d",)]}
    migrate("host=x", tmp_path, connection_limit=50)
    assert server.steps[1:] == [
        "BEGIN",
        LOCK_LEDGER,
        (module._SELECT_ROLES_WITH_OTHER_LIMIT, (50,)),
        'ALTER ROLE "fn_a" CONNECTION LIMIT 50',
        'ALTER ROLE "fn""b" CONNECTION LIMIT 50',
        (module._SELECT_DATABASE_WITH_OTHER_LIMIT, (55,)),
        'ALTER DATABASE "d" CONNECTION LIMIT 55',
        "COMMIT",
        "disconnect",
    ]
    assert server.limits == [make_limits("838000ms", "838000ms"), make_limits("838000ms", "5000ms")]


@pytest.mark.parametrize(
    ("iam", "altered"), [(True, ['GRANT rds_iam TO "fn_b"']), (False, ['REVOKE rds_iam FROM "fn_a"']), (None, [])]
)
def test_rds_iam_is_given_or_taken_where_it_differs(
    server: FakeServer, tmp_path: Path, iam: bool | None, altered: list[str]
) -> None:
    """Without a value for `iam` the roles stay as they are."""
    server.rows = {"pg_has_role": [("fn_a", True), ("fn_b", False)]}
    migrate("host=x", tmp_path, iam=iam)
    assert server.list_altered() == altered
    assert (LOCK_LEDGER in server.steps) == (iam is not None)
    assert server.limits[:1] == ([] if iam is None else [make_limits("838000ms", "838000ms")])


def test_roles_that_can_not_be_changed_are_named(server: FakeServer, tmp_path: Path) -> None:
    """The error calls them the settings of the functions' roles."""
    server.rows = {"rolconnlimit <> %s": [("fn_a",)]}
    server.errors["ALTER ROLE"] = [make_error(pg.InsufficientPrivilege, message_primary="must be owner")]
    with pytest.raises(
        StatementFailed, match=r"^the settings of the functions' roles failed, and nothing of it stays: Insufficient"
    ):
        migrate("host=x", tmp_path, connection_limit=50)


# ---- the command -----------------------------------------------------------------------------------------------------
def test_the_command_prints_what_it_applied(
    server: FakeServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints a line for each."""
    server.rows = {"datconnlimit <> %s": [("d",)]}
    assert main([str(folder), "host=x", "50"]) == 0
    assert capsys.readouterr() == ("applied 0001_a\napplied 0002_b\n", "")
    assert server.connects[0][0] == "host=x"
    assert server.list_altered() == ['ALTER DATABASE "d" CONNECTION LIMIT 55']


def test_the_command_says_why_it_failed(server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the reason to the error stream and ends with a status."""
    server.connect_errors = [psycopg.OperationalError("no route")]
    assert main([str(tmp_path), "host=x", "50"]) == 1
    assert capsys.readouterr() == ("", "no connection to the database: no route\n")
