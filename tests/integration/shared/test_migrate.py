"""One command makes the schema, however often and by however many it is run."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from local.postgres import OWNER
from shared.postgres.migrate import MigrationChanged, migrate, read_migrations
from tests.databases import MIGRATIONS, Postgres


@pytest.fixture
def empty(postgres: Postgres, request: pytest.FixtureRequest) -> str:
    """The owner's way to a database without a schema."""
    name = f"empty_{abs(hash(request.node.name)):x}"
    postgres.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
    return postgres.conninfo(dbname=name)


def test_it_may_be_run_twice(empty: str) -> None:
    """The second run finds nothing to do."""
    assert migrate(empty, MIGRATIONS) == [m.version for m in read_migrations(MIGRATIONS)]
    assert migrate(empty, MIGRATIONS) == []


def test_it_may_be_run_by_many_at_once(empty: str) -> None:
    """Each migration is applied by exactly one of them."""
    with ThreadPoolExecutor(8) as pool:
        applied = [v for versions in pool.map(lambda _: migrate(empty, MIGRATIONS), range(8)) for v in versions]
    assert sorted(applied) == [m.version for m in read_migrations(MIGRATIONS)]


def test_a_migration_that_fails_leaves_nothing_and_can_be_mended(empty: str, tmp_path: Path) -> None:
    """Each is a transaction: those before it stand, it does not."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id int);")
    (tmp_path / "0002_b.sql").write_text("CREATE TABLE b (id int); SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty, tmp_path)
    (tmp_path / "0002_b.sql").write_text("CREATE TABLE b (id int);")
    assert migrate(empty, tmp_path) == ["0002_b"]


def test_a_migration_changed_after_it_was_applied_is_refused(empty: str, tmp_path: Path) -> None:
    """Two databases of one version must not differ."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id int);")
    migrate(empty, tmp_path)
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id bigint);")
    with pytest.raises(MigrationChanged, match="0001_a"):
        migrate(empty, tmp_path)
