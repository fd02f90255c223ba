"""Crash points for fault-injection tests: before and after everything that leaves the process; no-ops unless watched.

Only tests arm them, to end the process at each in turn (tests/killing). They stand where all of a kind must pass: the
clients' events for AWS, `Database` and `Connector` for the database, `Api` for a request. What is built on those
has its steps already.
"""

from collections.abc import Callable

Watcher = Callable[[str], None]

_watcher: Watcher | None = None


def crash_point(name: str) -> None:
    """Pass a step; nothing happens unless somebody watches."""
    if _watcher is not None:
        _watcher(name)


def watch_crash_points(watcher: Watcher) -> None:
    """Have each step of this process, of all its threads, told to `watcher` when it is passed."""
    global _watcher
    _watcher = watcher
