"""The watchdog cuts sockets that are waited on for too long, and leaves all others alone."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

from shared.database.watchdog import FOREVER, Watchdog, WatchedSocket

SOON_S, NEVER_S = 0.02, 20.0


class SocketPair:
    """A connection's socket, and the server's end of it."""

    def __init__(self) -> None:
        self.ours, self.servers = socket.socketpair()
        self.ours.settimeout(NEVER_S)
        self.watched = WatchedSocket(cast("Any", self.ours))

    def is_open(self) -> bool:
        """Return whether what we send still arrives."""
        with suppress(OSError):
            self.ours.send(b"x")
            return self.servers.recv(1) == b"x"
        return False


@pytest.fixture
def pair() -> Iterator[SocketPair]:
    made = SocketPair()
    yield made
    made.watched.close()
    made.ours.close()
    made.servers.close()


def test_a_wait_that_takes_too_long_is_cut(pair: SocketPair) -> None:
    """The waiting code gets an error at once, because nothing more can be read."""
    began = time.monotonic()
    with Watchdog().watch(pair.watched, SOON_S):
        assert pair.ours.recv(1) == b""
    assert SOON_S <= time.monotonic() - began < NEVER_S / 2
    assert pair.watched.was_cut
    assert not pair.is_open()


def test_a_wait_that_ends_in_time_is_left_alone(pair: SocketPair) -> None:
    """Also after its time, and whatever the block raised."""
    watchdog = Watchdog()
    with watchdog.watch(pair.watched, SOON_S):
        pass
    with pytest.raises(LookupError), watchdog.watch(pair.watched, SOON_S):
        raise LookupError
    assert watchdog._watched == {}
    time.sleep(3 * SOON_S)
    assert not pair.watched.was_cut
    assert pair.is_open()


def test_a_shorter_wait_that_begins_later_is_cut_first(pair: SocketPair) -> None:
    """The thread is woken for it, though it sleeps until the end of the longer one."""
    watchdog, other = Watchdog(), SocketPair()
    began = time.monotonic()
    with watchdog.watch(other.watched, NEVER_S):
        while watchdog._wakes_at == FOREVER:
            time.sleep(0.001)
        with watchdog.watch(pair.watched, SOON_S):
            assert pair.ours.recv(1) == b""
    assert time.monotonic() - began < NEVER_S / 2
    assert (pair.watched.was_cut, other.watched.was_cut) == (True, False)
    assert other.is_open()


def test_one_wait_after_another_is_cut_by_the_same_thread(pair: SocketPair) -> None:
    """A daemon, which no process waits for at its end."""
    watchdog = Watchdog()
    for each in (pair, SocketPair()):
        with watchdog.watch(each.watched, SOON_S):
            assert each.ours.recv(1) == b""
    [thread] = [each for each in threading.enumerate() if each is watchdog._thread]
    assert (thread.daemon, thread.name) == (True, "watchdog")


def test_exactly_what_is_late_is_cut() -> None:
    """Each late connection is cut at its own time, and not a moment before."""
    late, punctual = SocketPair(), SocketPair()
    watchdog = Watchdog(clock=lambda: 10.0)
    watchdog._watched = {late.watched: 10.0, punctual.watched: 10.001}
    watchdog._cut_late_sockets()
    assert (late.watched.was_cut, punctual.watched.was_cut) == (True, False)
    assert list(watchdog._watched) == [punctual.watched]


def test_a_watch_ends_after_the_seconds_given(pair: SocketPair) -> None:
    """The seconds are counted by the clock that it was given."""
    watchdog = Watchdog(clock=lambda: 10.0)
    watchdog._thread = threading.current_thread()
    with watchdog.watch(pair.watched, 5.0):
        assert watchdog._watched == {pair.watched: 15.0}


def test_a_socket_that_is_closed_or_gone_can_be_cut(pair: SocketPair) -> None:
    """The connection may end at the same moment; its own descriptor may be another file's by then."""
    gone = SocketPair()
    gone.servers.close()
    gone.ours.close()
    gone.watched.cut()
    assert gone.watched.was_cut
    pair.watched.close()
    pair.watched.cut()
    assert pair.watched.was_cut
    assert pair.is_open(), "closing the handle leaves the connection open"


def test_a_socket_that_leads_nowhere_any_more_can_be_cut() -> None:
    """The operating system says that it is not connected; the connection has noticed that itself."""
    with socket.socket() as unconnected:
        watched = WatchedSocket(cast("Any", unconnected))
        watched.cut()
        watched.close()
    assert watched.was_cut
