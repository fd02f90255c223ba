"""One command makes the schema, however often and by however many processes it is run."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from local.database_proxy.proxy import run_proxy
from local.postgres import OWNER
from shared.database.migrate import migrate, read_migrations
from shared.database.migration_errors import MigrationChecksumMismatch, StatementFailed
from tests.databases import MIGRATIONS, PostgresHandle
from tests.roles import LIMITED

OTHERS = 5  # sessions that are no function's: autovacuum's if they are counted, the owner's, a person's


@pytest.fixture
def empty(postgres: PostgresHandle, request: pytest.FixtureRequest) -> str:
    """Return the owner's way to a database without a schema."""
    name = f"empty_{abs(hash(request.node.name)):x}"
    postgres.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
    return postgres.build_conninfo(dbname=name)


def test_the_migrations_may_be_run_twice(empty: str) -> None:
    """The second run finds nothing to do."""
    assert migrate(empty, MIGRATIONS) == [m.version for m in read_migrations(MIGRATIONS)]
    assert migrate(empty, MIGRATIONS) == []


def test_the_migrations_may_be_run_by_many_at_once(empty: str) -> None:
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
    """Amounts that were right before stay, and code that reads claims may read them as before."""
    before = [m for m in MIGRATIONS.glob("*.sql") if m.name < "0014"]
    for migration in before:
        shutil.copy(migration, tmp_path)
    migrate(empty, tmp_path)
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(CASE)
        grants = "SELECT relacl::text FROM pg_class WHERE relname = 'claim_view'"
        granted = connection.execute(grants).fetchone()
        shutil.copy(MIGRATIONS / "0014_input.sql", tmp_path)
        migrate(empty, tmp_path)
        amounts = connection.execute("SELECT currency, amount FROM claim_view ORDER BY 1, 2").fetchall()
        assert amounts == [("EUR", "250.50"), ("JPY", "250"), ("JPY", "250.55"), ("KWD", "1.500")]
        assert connection.execute(grants).fetchone() == granted


def name_of(empty: str) -> str:
    """Return the database that a connection string leads to."""
    return empty.split("dbname=")[1].split()[0]


@pytest.fixture
def unlimited(postgres: PostgresHandle) -> Iterator[None]:
    """No role has a limit, before and after."""
    yield
    postgres.drop_limits()


@pytest.mark.usefixtures("unlimited")
def test_each_run_sets_the_limit_of_connections(empty: str, postgres: PostgresHandle) -> None:
    """It sets each role's and the database's; another number at the next deployment changes it, none leaves it."""
    for limit in (50, 50, 70):
        migrate(empty, MIGRATIONS, connection_limit=limit)
        assert postgres.read_limits(name_of(empty)) == ({limit}, limit + OTHERS)
    migrate(empty, MIGRATIONS)
    assert postgres.read_limits(name_of(empty)) == ({70}, 70 + OTHERS)


@pytest.mark.usefixtures("unlimited")
def test_one_role_of_all_that_has_another_limit_gets_the_right_one(empty: str, postgres: PostgresHandle) -> None:
    """Each is looked at, and not only the first."""
    migrate(empty, MIGRATIONS, connection_limit=50)
    for role in LIMITED:
        postgres.execute(f"ALTER ROLE {role} CONNECTION LIMIT 3")
        migrate(empty, MIGRATIONS, connection_limit=50)
        assert postgres.read_limits()[0] == {50}, role


@pytest.mark.usefixtures("unlimited")
def test_the_limit_may_be_set_by_many_at_once(empty: str, postgres: PostgresHandle) -> None:
    """PostgreSQL refuses one of two that alter a role at the same time: they take turns."""
    limits = [60 + n for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda limit: migrate(empty, MIGRATIONS, connection_limit=limit), limits))
    roles, most = postgres.read_limits(name_of(empty))
    assert roles == {most - OTHERS}
    assert roles <= set(limits)


@pytest.mark.usefixtures("unlimited")
def test_the_limit_holds_whatever_the_proxy_may_open(empty: str, postgres: PostgresHandle) -> None:
    """Behind a pool that is too large, PostgreSQL refuses one too many, and the proxy's client waits its turn."""
    migrate(empty, MIGRATIONS)
    postgres.proxy.refresh()
    migrate(empty, MIGRATIONS, connection_limit=2)
    dbname = name_of(empty)
    with run_proxy(postgres.server.port, max_connections=5, borrow_timeout_s=30) as proxy:
        conninfo = f"host=127.0.0.1 port={proxy.port} user=interdomestik_app dbname={dbname}"

        def run_migrate(_n: int) -> int:
            with psycopg.connect(conninfo, prepare_threshold=None) as client:
                row = client.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND pg_sleep(0.05) IS NOT NULL"
                ).fetchone()
            assert row is not None
            return int(row[0])

        with ThreadPoolExecutor(6) as pool:
            assert max(pool.map(run_migrate, range(12))) <= 2
        assert proxy.counts.borrow_timeouts == 0


@pytest.mark.usefixtures("unlimited")
def test_all_roles_together_have_no_more_than_the_limit_and_a_few(empty: str, postgres: PostgresHandle) -> None:
    """The limit of one role knows nothing of the others': the database's does. The owner's sessions count in it."""
    migrate(empty, MIGRATIONS, connection_limit=4)
    refused: list[str] = []
    with ExitStack() as held:
        for role in [*LIMITED, *LIMITED][: 4 + OTHERS + 2]:
            try:
                held.enter_context(psycopg.connect(postgres.build_conninfo(user=role, dbname=name_of(empty))))
            except psycopg.OperationalError as error:
                refused.append(str(error))
    assert len(refused) == 2
    assert all("too many connections for database" in each for each in refused)


def test_a_migration_that_fails_leaves_nothing_and_can_be_mended(empty: str, tmp_path: Path) -> None:
    """Each is a transaction: those before it stand, it does not."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id int);")
    (tmp_path / "0002_b.sql").write_text("CREATE TABLE b (id int); SELECT 1 / 0;")
    with pytest.raises(
        StatementFailed, match=r"0002_b failed, and nothing of it stays: DivisionByZero \(SQLSTATE 22012"
    ):
        migrate(empty, tmp_path)
    (tmp_path / "0002_b.sql").write_text("CREATE TABLE b (id int);")
    assert migrate(empty, tmp_path) == ["0002_b"]


def test_a_migration_changed_after_it_was_applied_is_refused(empty: str, tmp_path: Path) -> None:
    """Two databases of one version must not differ."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id int);")
    migrate(empty, tmp_path)
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id bigint);")
    with pytest.raises(MigrationChecksumMismatch, match="0001_a"):
        migrate(empty, tmp_path)


# What migrations contained before they were changed in place, and the line that it stood before.
REMOVED = {
    "0004_roles.sql": (
        "-- Session settings",
        """\
-- Where AWS issues the passwords, the role must be allowed to use them.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO interdomestik_app;
    END IF;
END $$;

""",
    ),
    "0023_function_roles.sql": (
        "        -- Session settings",
        """\
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
            EXECUTE format('GRANT rds_iam TO %I', name);
        END IF;
""",
    ),
}


def read_former_text(name: str) -> str:
    """Return the text of a migration as databases have applied it before it was changed in place."""
    _, _, text = (MIGRATIONS / name).read_text(encoding="utf-8").partition("\n")
    place, removed = REMOVED[name]
    return text.replace(place, removed + place, 1)


def copy_migrations(folder: Path, name: str, text: str) -> None:
    """Copy the migrations up to that one, which gets another text."""
    for migration in MIGRATIONS.glob("*.sql"):
        if migration.name < name:
            shutil.copy(migration, folder)
    (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", REMOVED)
def test_a_database_with_the_former_text_of_a_migration_accepts_the_new_one(
    empty: str, tmp_path: Path, name: str
) -> None:
    """It is not applied again, and those that are missing are."""
    copy_migrations(tmp_path, name, read_former_text(name))
    applied = migrate(empty, tmp_path)
    assert [*applied, *migrate(empty, MIGRATIONS)] == [m.version for m in read_migrations(MIGRATIONS)]
    assert migrate(empty, MIGRATIONS) == []


@pytest.mark.parametrize("name", REMOVED)
def test_a_database_with_any_other_text_of_that_migration_is_refused(empty: str, tmp_path: Path, name: str) -> None:
    """Only the text whose checksum the migration names as its former one is accepted."""
    copy_migrations(tmp_path, name, read_former_text(name) + "-- Another text.\n")
    migrate(empty, tmp_path)
    with pytest.raises(MigrationChecksumMismatch, match=name.removesuffix(".sql")):
        migrate(empty, MIGRATIONS)
