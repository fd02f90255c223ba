"""One command makes the schema, however often and by however many it is run."""

import shutil
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


CASE = """
INSERT INTO accounts (id, role, email, full_name, language)
VALUES ('01a20ba6-afb6-76d1-9556-a703ff01d17a', 'member', 'besa@example.test', 'Besa Hoxha', 'sq');
INSERT INTO members (id, country) VALUES ('01a20ba6-afb6-76d1-9556-a703ff01d17a', 'XK');
ALTER TABLE claims DISABLE TRIGGER USER;
INSERT INTO claims (id, member_id, category, title, company_name, description, incident_date, incident_country,
                    amount, currency)
SELECT gen_random_uuid(), '01a20ba6-afb6-76d1-9556-a703ff01d17a', 'travel', 't', 'c', 'd', '2026-01-01', 'CH', a, c
FROM (VALUES (250.5, 'EUR'), (250, 'JPY'), (250.55, 'JPY'), (1.5, 'KWD')) AS v (a, c);
"""


def test_amounts_get_their_currencys_decimals(empty: str, tmp_path: Path) -> None:
    """Those that were right before; what reads claims may read them as before."""
    before = [m for m in MIGRATIONS.glob("*.sql") if m.name < "0014"]
    for migration in before:
        shutil.copy(migration, tmp_path)
    migrate(empty, tmp_path)
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(CASE)
        grants = "SELECT relacl::text FROM pg_class WHERE relname = 'claim_view'"
        granted = connection.execute(grants).fetchone()
        migrate(empty, MIGRATIONS)
        amounts = connection.execute("SELECT currency, amount FROM claim_view ORDER BY 1, 2").fetchall()
        assert amounts == [("EUR", "250.50"), ("JPY", "250"), ("JPY", "250.55"), ("KWD", "1.500")]
        assert connection.execute(grants).fetchone() == granted


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
