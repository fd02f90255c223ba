"""The environment's one connection: how it is opened, when it is checked or replaced, and what is told of a failure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from psycopg.rows import dict_row

from shared.database import connection as module
from shared.database.connection import (
    ROOTS,
    Connection,
    ConnectionHolder,
    build_connect_arguments,
    connect,
    find_root_certificates,
    report_connect_failure,
)
from shared.errors import DeadlineExceeded
from shared.settings import Settings
from tests.unit.database.fake_watchdog import FakeSocket, FakeWatchdog

SETTINGS = Settings(db_host="db.test", db_port=5433, db_name="d", db_user="u", db_connect_timeout=5)
LIFE_S, IDLE_S = 1000.0, 50.0


@dataclass
class FakeConnection:
    """A connection of psycopg's; `answers` is False where the server does not answer SELECT 1."""

    number: int
    answers: bool = True
    closed: bool = False
    executed: list[str] = field(default_factory=list)

    def execute(self, statement: str) -> None:
        """See psycopg.Connection.execute."""
        self.executed.append(statement)
        if not self.answers:
            raise psycopg.OperationalError("gone")

    def close(self) -> None:
        """See psycopg.Connection.close."""
        self.closed = True


class HeldConnections:
    """A holder on a standing clock, with the connections that it opened."""

    def __init__(self, share: float = 1.0) -> None:
        self.now = 100.0
        self.opened: list[FakeConnection] = []
        self.within: list[float] = []
        self.spans: list[tuple[float, float]] = []
        self.share = share
        self.holder = ConnectionHolder(
            self._open, idle_timeout_s=IDLE_S, max_lifetime_s=LIFE_S, clock=lambda: self.now, uniform=self._draw
        )

    def _open(self, within_s: float) -> Connection:
        self.within.append(within_s)
        self.opened.append(FakeConnection(len(self.opened)))
        return cast("Connection", self.opened[-1])

    def _draw(self, low: float, high: float) -> float:
        self.spans.append((low, high))
        return self.share

    def borrow(self) -> int:
        """Borrow the connection; return its number."""
        return cast("FakeConnection", self.holder.borrow(3.5)).number


@pytest.fixture
def watchdog(monkeypatch: pytest.MonkeyPatch) -> FakeWatchdog:
    """Return what watches sockets; connections have none of their own."""
    fake = FakeWatchdog()
    monkeypatch.setattr(module, "WATCHDOG", fake)
    monkeypatch.setattr(module, "WatchedSocket", FakeSocket)
    return fake


@pytest.fixture
def held(watchdog: FakeWatchdog) -> HeldConnections:
    return HeldConnections()


def test_a_connection_is_opened_when_it_is_needed_and_kept(held: HeldConnections) -> None:
    """Opening it may take no longer than the caller has."""
    assert held.opened == []
    assert [held.borrow(), held.borrow()] == [0, 0]
    assert held.within == [3.5]
    assert held.opened[0].executed == []


@pytest.mark.parametrize("share", [0.9, 1.0])
def test_a_connection_is_replaced_by_its_age(watchdog: FakeWatchdog, share: float) -> None:
    """At up to a tenth less than its lifetime, so that those opened together are not replaced together."""
    held = HeldConnections(share)
    held.borrow()
    assert held.spans == [(0.9, 1)]
    for now, number in ((100.0 + share * LIFE_S - 0.001, 0), (100.0 + share * LIFE_S, 1)):
        held.now = now
        held.holder.return_connection()
        assert held.borrow() == number
    assert held.opened[0].closed


def test_a_connection_that_was_idle_too_long_is_replaced_without_being_asked(held: HeldConnections) -> None:
    """The proxy has closed it by then."""
    held.borrow()
    held.now += IDLE_S
    assert held.borrow() == 1
    assert held.opened[0].executed == []
    assert held.opened[0].closed


@pytest.mark.parametrize("after_s", [2.0, IDLE_S - 0.001])
@pytest.mark.parametrize("answers", [True, False])
def test_a_connection_is_checked_after_a_pause(
    held: HeldConnections, watchdog: FakeWatchdog, after_s: float, answers: bool
) -> None:
    """A server that does not answer within a second counts as down."""
    held.borrow()
    held.opened[0].answers = answers
    held.now += after_s
    assert held.borrow() == (0 if answers else 1)
    assert held.opened[0].executed == ["SELECT 1"]
    [(socket, seconds)] = watchdog.watched
    assert (socket.connection, seconds) == (held.opened[0], 1.0)


def test_a_connection_in_use_is_not_checked(held: HeldConnections) -> None:
    """Its pause begins when it is borrowed, and again when it is returned."""
    held.borrow()
    for _ in range(3):
        held.now += 1.999
        held.borrow()
        held.now += 1.999
        held.holder.return_connection()
    assert held.opened[0].executed == []


@pytest.mark.parametrize("ends", ["closed", "cut", "dropped"])
def test_a_connection_that_ended_is_replaced(held: HeldConnections, ends: str) -> None:
    """Closed by either side, cut by the watchdog, or dropped by a transaction that lost it."""
    held.borrow()
    socket = cast("Any", held.holder._current).socket
    if ends == "closed":
        held.opened[0].closed = True
    elif ends == "cut":
        socket.was_cut = True
    else:
        held.holder.drop()
        held.holder.drop()
        assert held.holder._current is None
    assert held.borrow() == 1
    assert socket.closed
    assert held.opened[0].closed


def test_waiting_is_limited_on_the_connection_that_is_there(held: HeldConnections, watchdog: FakeWatchdog) -> None:
    """Without one there is nothing to wait for."""
    with held.holder.limit_waiting(7.0) as unwatched:
        assert unwatched is None
    held.borrow()
    with held.holder.limit_waiting(7.0) as limited:
        assert cast("Any", limited) == "watched"
    [(socket, seconds)] = watchdog.watched
    assert (socket.connection, seconds) == (held.opened[0], 7.0)


def test_a_process_can_die_before_and_after_it_connects(held: HeldConnections, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests end the process at these two named places."""
    passed: list[tuple[str, int]] = []
    monkeypatch.setattr(module, "crash_point", lambda name: passed.append((name, len(held.opened))))
    held.borrow()
    assert passed == [("database.connecting", 0), ("database.connected", 1)]


# ---- how it is opened ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("within_s", "timeout_s"), [(3600.0, 5), (4.9, 4), (2.5, 2), (0.5, 2)])
def test_a_connection_is_opened_with_these_arguments(within_s: float, timeout_s: int) -> None:
    """Libpq takes whole seconds, two at least."""
    settings = SETTINGS.model_copy(update={"db_sslmode": "require"})
    assert build_connect_arguments(settings, "p4ss", within_s=within_s) == {
        "host": "db.test",
        "port": 5433,
        "dbname": "d",
        "user": "u",
        "password": "p4ss",
        "sslmode": "require",
        "connect_timeout": timeout_s,
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 2,
        "tcp_user_timeout": 3000,
        "autocommit": True,
        "prepare_threshold": None,
        "row_factory": dict_row,
    }


def test_a_connection_without_a_limit_has_the_settings_timeout() -> None:
    """A role that signs in without a password gets none; certificates are checked against the region's roots."""
    arguments = build_connect_arguments(SETTINGS.model_copy(update={"db_connect_timeout": 3000}), None)
    assert arguments["connect_timeout"] == 3000
    longest = build_connect_arguments(SETTINGS.model_copy(update={"db_connect_timeout": 5000}), None)
    assert longest["connect_timeout"] == 3600
    assert "password" not in arguments


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ("rds", ROOTS / "rds-eu-south-1.pem"),
        ("rds-proxy", ROOTS / "rds-proxy.pem"),
        ("/opt/roots.pem", Path("/opt/roots.pem")),
    ],
)
def test_a_certificate_is_checked_against_the_roots_of_the_settings(named: str, path: Path) -> None:
    """Those of the region, of the proxy, or a file of one's own; only if it is checked at all."""
    settings = SETTINGS.model_copy(
        update={"db_sslmode": "verify-full", "db_sslrootcert": named, "aws_region": "eu-south-1"}
    )
    assert find_root_certificates(settings) == path
    assert build_connect_arguments(settings, None)["sslrootcert"] == str(path)
    unchecked = settings.model_copy(update={"db_sslmode": "disable"})
    assert "sslrootcert" not in build_connect_arguments(unchecked, None)


@pytest.mark.parametrize(("within_s", "is_tried"), [(2.0, True), (1.999, False)])
def test_no_connection_is_tried_with_less_time_than_libpq_takes(
    monkeypatch: pytest.MonkeyPatch, within_s: float, is_tried: bool
) -> None:
    """It would outlast the request."""
    tried: list[dict[str, Any]] = []

    def open_connection(**arguments: Any) -> str:
        tried.append(arguments)
        return "connection"

    monkeypatch.setattr(psycopg, "connect", open_connection)
    if is_tried:
        assert cast("Any", connect(SETTINGS, "p4ss", within_s)) == "connection"
        assert tried == [build_connect_arguments(SETTINGS, "p4ss", within_s=within_s)]
        return
    with pytest.raises(DeadlineExceeded) as late:
        connect(SETTINGS, "p4ss", within_s)
    assert (late.value.what, tried) == ("database", [])


def raise_operational(message: str) -> Callable[..., None]:
    """Return a psycopg.connect that fails so."""

    def fail(**_arguments: Any) -> None:
        raise psycopg.OperationalError(message)

    return fail


def test_an_operator_is_told_why_no_connection_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason leaves out the password, and has at most a thousand characters."""
    told: list[tuple[str, Mapping[str, object]]] = []
    monkeypatch.setattr(psycopg, "connect", raise_operational("p4ss " + "x" * 2000))
    with pytest.raises(psycopg.OperationalError):
        connect(SETTINGS, "p4ss", 10.0, lambda event, facts: told.append((event, facts)))
    facts = {"error": "OperationalError", "reason": "*** " + "x" * 996}
    assert told == [("database_connect_failed", facts)]


@pytest.mark.parametrize("password", [None, ""])
def test_a_reason_without_a_password_is_told_as_it_is(password: str | None) -> None:
    """Nothing has to be hidden in it; another error is none of a connection's."""
    told: list[Mapping[str, object]] = []
    with (
        pytest.raises(psycopg.OperationalError),
        report_connect_failure(lambda _event, facts: told.append(facts), redact=password),
    ):
        raise psycopg.OperationalError("no route")
    with pytest.raises(LookupError), report_connect_failure(lambda _event, facts: told.append(facts), redact=None):
        raise LookupError
    assert [facts["reason"] for facts in told] == ["no route"]
