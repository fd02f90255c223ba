"""One command makes the schema, however often and by however many it is run."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from local.database_proxy.handle import running_proxy
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
INSERT INTO claims (id, number, member_id, category, title, company_name, description, incident_date, incident_country,
                    amount, currency)
SELECT gen_random_uuid(), format('CLM-2026-%s', a), '01a20ba6-afb6-76d1-9556-a703ff01d17a', 'travel', 't', 'c', 'd',
       '2026-01-01', 'CH', a, c
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


def connection_limit(postgres: Postgres) -> int:
    """Of the functions' role; it is the whole server's, so each test puts it back."""
    with psycopg.connect(postgres.conninfo(user="postgres", dbname="postgres")) as connection:
        row = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'interdomestik_app'").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def unlimited(postgres: Postgres) -> Iterator[None]:
    """The role has no limit, before and after."""
    yield
    postgres.execute("ALTER ROLE interdomestik_app CONNECTION LIMIT -1")


@pytest.mark.usefixtures("unlimited")
def test_each_run_sets_the_limit_of_connections(empty: str, postgres: Postgres) -> None:
    """Another number at the next deployment is another limit; where none is named it stays as it is."""
    for limit in (50, 50, 70):
        migrate(empty, MIGRATIONS, connection_limit=limit)
        assert connection_limit(postgres) == limit
    migrate(empty, MIGRATIONS)
    assert connection_limit(postgres) == 70


@pytest.mark.usefixtures("unlimited")
def test_the_limit_may_be_set_by_many_at_once(empty: str, postgres: Postgres) -> None:
    """PostgreSQL refuses one of two that alter a role at the same time: they take turns."""
    limits = [60 + n for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda limit: migrate(empty, MIGRATIONS, connection_limit=limit), limits))
    assert connection_limit(postgres) in limits


@pytest.mark.usefixtures("unlimited")
def test_the_limit_holds_whatever_the_proxy_may_open(empty: str, postgres: Postgres) -> None:
    """Behind a pool that is too large, PostgreSQL refuses one too many, and the proxy's client waits its turn."""
    migrate(empty, MIGRATIONS)
    postgres.proxy.refresh()
    migrate(empty, MIGRATIONS, connection_limit=2)
    dbname = empty.split("dbname=")[1].split()[0]
    with running_proxy(postgres.server.port, max_connections=5, borrow_timeout_s=30) as proxy:
        conninfo = f"host=127.0.0.1 port={proxy.port} user=interdomestik_app dbname={dbname}"

        def work(_n: int) -> int:
            with psycopg.connect(conninfo, prepare_threshold=None) as client:
                row = client.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND pg_sleep(0.05) IS NOT NULL"
                ).fetchone()
            assert row is not None
            return int(row[0])

        with ThreadPoolExecutor(6) as pool:
            assert max(pool.map(work, range(12))) <= 2
        assert proxy.counts.borrow_timeouts == 0


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
