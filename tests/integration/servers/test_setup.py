"""The SQL of the deployment guide, run as written by a main user that is no superuser, as on RDS."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from local.postgres import PostgresServer
from shared.database.migrate import migrate, read_migrations
from tests.databases import MIGRATIONS
from tests.integration.servers.tls import run_server
from tests.roles import LIMITED
from tests.services import ROOT

GUIDE = ROOT / "docs/how-to/deploy.md"
OWNER = DATABASE = "interdomestik"
MAIN_USER = "main_user"
# What RDS has made before anybody comes: the main user may make roles and databases, and hand on rds_iam.
AS_ON_RDS = f"""
CREATE ROLE rds_iam NOLOGIN;
CREATE ROLE {MAIN_USER} LOGIN CREATEROLE CREATEDB;
GRANT rds_iam TO {MAIN_USER} WITH ADMIN OPTION;
"""
MEMBERS = """
SELECT member::regrole::text FROM pg_auth_members
WHERE roleid = 'rds_iam'::regrole AND member <> %s::regrole ORDER BY 1"""


def run(server: PostgresServer, statements: str, *, user: str, database: str = "postgres") -> None:
    """Run statements one by one, as psql does."""
    with psycopg.connect(server.build_dsn(user, database), autocommit=True) as connection:
        for statement in statements.split(";"):
            if re.sub(r"--.*", "", statement).strip():
                connection.execute(statement.encode())


def read_sql_of_guide() -> tuple[str, str]:
    """Return the two blocks: for everybody, and for IAM besides."""
    everybody, iam = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return everybody, iam


@pytest.fixture
def server(version: str, tmp_path: Path) -> Iterator[PostgresServer]:
    """Yield a server as RDS hands it over."""
    with run_server(version, tmp_path) as running:
        run(running, AS_ON_RDS, user="postgres")
        yield running


def list_members_of_rds_iam(server: PostgresServer) -> list[str]:
    """Return who can sign in by IAM alone, besides the main user."""
    with psycopg.connect(server.build_dsn("postgres", "postgres")) as connection:
        return [name for (name,) in connection.execute(MEMBERS, [MAIN_USER]).fetchall()]


def test_with_passwords_nobody_is_a_member_of_rds_iam(server: PostgresServer) -> None:
    """A member could sign in by no password any more: neither the owner nor a function."""
    everybody, _ = read_sql_of_guide()
    run(server, everybody, user=MAIN_USER)
    applied = migrate(server.build_dsn(OWNER, DATABASE), MIGRATIONS, connection_limit=50, iam=False)
    assert applied == [migration.version for migration in read_migrations(MIGRATIONS)]
    assert list_members_of_rds_iam(server) == []


def test_with_iam_the_owner_and_each_functions_role_are_members_until_passwords_are_used(
    server: PostgresServer,
) -> None:
    """The owner by the guide, the functions' roles by the migrate command, which also takes it back."""
    for block in read_sql_of_guide():
        run(server, block, user=MAIN_USER)
    dsn = server.build_dsn(OWNER, DATABASE)
    migrate(dsn, MIGRATIONS, connection_limit=50, iam=True)
    assert list_members_of_rds_iam(server) == sorted([OWNER, *LIMITED])
    for iam, members in ((True, LIMITED), (False, []), (True, LIMITED)):
        migrate(dsn, MIGRATIONS, connection_limit=50, iam=iam)
        assert list_members_of_rds_iam(server) == sorted([OWNER, *members])


def test_a_server_without_rds_iam_is_migrated_all_the_same(version: str, tmp_path: Path) -> None:
    """A server of one's own knows no such role."""
    everybody, _ = read_sql_of_guide()
    with run_server(version, tmp_path) as server:
        run(server, everybody, user="postgres")
        assert migrate(server.build_dsn(OWNER, DATABASE), MIGRATIONS, iam=True) != []


def test_the_owner_can_do_no_more_than_the_guide_says(server: PostgresServer) -> None:
    """No superuser, and no other database."""
    everybody, _ = read_sql_of_guide()
    run(server, everybody, user=MAIN_USER)
    with psycopg.connect(server.build_dsn(OWNER, DATABASE)) as connection:
        query = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(query).fetchone() == (False, True, False, False)
        encoding = "SELECT pg_encoding_to_char(encoding), datdba::regrole::text FROM pg_database WHERE datname = %s"
        assert connection.execute(encoding, [DATABASE]).fetchone() == ("UTF8", OWNER)


def read_statement(page: Path, begins: str) -> str:
    """Return the one statement of a page that stands in its text and begins so."""
    [statement] = re.findall(rf"`({re.escape(begins)}[^`]+)`", page.read_text(encoding="utf-8"))
    return str(statement)


def test_the_owner_gives_the_functions_roles_their_passwords(server: PostgresServer) -> None:
    """As the guide says, by the statement that it shows."""
    everybody, _ = read_sql_of_guide()
    run(server, everybody, user=MAIN_USER)
    migrate(server.build_dsn(OWNER, DATABASE), MIGRATIONS, connection_limit=50, iam=False)
    statement = read_statement(GUIDE, "ALTER ROLE interdomestik_members PASSWORD ")
    for role in LIMITED:
        of_role = statement.replace("interdomestik_members", role).replace("…", "'p4ss-w0rd'")
        run(server, of_role, user=OWNER, database=DATABASE)
    with psycopg.connect(server.build_dsn("postgres", "postgres")) as connection:
        query = "SELECT rolname FROM pg_authid WHERE rolname = ANY(%s) AND rolpassword IS NULL"
        assert connection.execute(query, [list(LIMITED)]).fetchall() == []


def test_the_owner_skips_numbers_by_hand(server: PostgresServer) -> None:
    """After a restore, by the statement that the guide shows."""
    everybody, _ = read_sql_of_guide()
    run(server, everybody, user=MAIN_USER)
    migrate(server.build_dsn(OWNER, DATABASE), MIGRATIONS, connection_limit=50, iam=False)
    statement = read_statement(ROOT / "docs/how-to/restore.md", "SELECT skip_numbers(")
    with psycopg.connect(server.build_dsn(OWNER, DATABASE)) as connection:
        assert connection.execute(statement.encode()).fetchone() == (True,)
        assert connection.execute("SELECT nextval('member_numbers') > 7000").fetchone() == (True,)
