"""The version of the database's schema, compared with the migrations that this release ships with.

The schema is never older than the code that is called, since the deployment migrates first. It may be newer, while
calls are shifted to a release and after a rollback: every release runs on the next one's schema (docs/decisions/0053).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.database.transaction import Pending, Row, Transaction
from shared.sql import load_queries

SQL = load_queries("shared.database", "schema_version.sql")

FOLDER = "migrations"


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """The newest applied migration, and the migrations of this release that are not applied."""

    newest: str | None
    missing: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """Return whether this release finds all that it needs in the schema."""
        return not self.missing


def query_schema_version(tx: Transaction, shipped: Sequence[str]) -> Pending[SchemaVersion]:
    """Query the schema's version in one statement; `shipped` are the versions of this release's migrations."""
    return tx.fetch_one(SQL["schema_version"], shipped=list(shipped)).map(_make_schema_version)


def _make_schema_version(row: Row | None) -> SchemaVersion:
    found = row or {}
    return SchemaVersion(found["newest"], tuple(found["missing"]))


def find_migrations(environ: Mapping[str, str], package: Path = Path(__file__)) -> Path:
    """Return the folder of this release's migrations: MIGRATIONS_DIR, or the nearest one above this package.

    In Lambda that is /opt/migrations, beside /opt/python. Raise FileNotFoundError if there is none.
    """
    if named := environ.get("MIGRATIONS_DIR"):
        return Path(named)
    for folder in package.parents:
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    raise FileNotFoundError(f"no folder {FOLDER} above {package}")


def list_shipped(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the versions of this release's migrations, oldest first. Raise FileNotFoundError if there are none."""
    folder = find_migrations(environ)
    versions = tuple(path.stem for path in sorted(folder.glob("[0-9]*.sql")))
    if not versions:
        raise FileNotFoundError(f"no migrations in {folder}")
    return versions
