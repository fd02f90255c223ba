"""A release finds the migrations that it ships with."""

from pathlib import Path

import pytest

from shared.database.schema_version import SchemaVersion, find_migrations, list_shipped


def make_layer(folder: Path) -> Path:
    """Make the layer as Lambda unpacks it, and return the module's place in it."""
    (folder / "migrations").mkdir()
    (folder / "migrations/0002_claims.sql").touch()
    (folder / "migrations/0001_people.sql").touch()
    package = folder / "python/shared/database"
    package.mkdir(parents=True)
    return package / "schema_version.py"


def test_the_layers_migrations_stand_beside_its_packages(tmp_path: Path) -> None:
    """`sam build` lays them out so, at /opt."""
    assert find_migrations({}, make_layer(tmp_path)) == tmp_path / "migrations"


def test_another_folder_can_be_named(tmp_path: Path) -> None:
    """The local cloud names its own."""
    make_layer(tmp_path)
    assert list_shipped({"MIGRATIONS_DIR": str(tmp_path / "migrations")}) == ("0001_people", "0002_claims")


@pytest.mark.parametrize("environ", [{}, {"MIGRATIONS_DIR": ""}])
def test_without_a_folder_there_is_an_error(tmp_path: Path, environ: dict[str, str]) -> None:
    """A release that found none would take every schema for current."""
    with pytest.raises(FileNotFoundError):
        find_migrations(environ, tmp_path / "python/shared/database/schema_version.py")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """For the same reason."""
    with pytest.raises(FileNotFoundError):
        list_shipped({"MIGRATIONS_DIR": str(tmp_path)})


def test_a_schema_is_current_if_nothing_is_missing() -> None:
    """It doesn't matter what else is applied."""
    assert SchemaVersion("0003_later", missing=()).is_current
    assert not SchemaVersion("0003_later", missing=("0002_claims",)).is_current
