"""Fixtures of the migrations' tests: a server without a server, and a folder of two migrations."""

from pathlib import Path

import psycopg
import pytest

from shared.database import migrate as module
from tests.unit.database.fake_watchdog import FakeSocket, FakeWatchdog
from tests.unit.database.migration_server import FakeServer


@pytest.fixture
def watchdog() -> FakeWatchdog:
    return FakeWatchdog()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, watchdog: FakeWatchdog) -> FakeServer:
    """Return the server that runs of the migrations reach."""
    fake = FakeServer()
    monkeypatch.setattr(psycopg, "connect", fake.connect)
    monkeypatch.setattr(module, "WatchedSocket", FakeSocket)
    monkeypatch.setattr(module, "WATCHDOG", watchdog)
    monkeypatch.setattr(module, "read_monotonic", lambda: fake.now)
    monkeypatch.setattr("shared.database.migrate.time.sleep", fake.sleep)
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two migrations."""
    (tmp_path / "0002_b.sql").write_text("CREATE TABLE b ();", encoding="utf-8")
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE ë ();", encoding="utf-8")
    (tmp_path / "notes.sql").write_text("DROP TABLE b;", encoding="utf-8")
    return tmp_path
