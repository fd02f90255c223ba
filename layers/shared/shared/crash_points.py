"""Crash points for fault-injection tests: before and after every call that leaves the process; no-ops unless watched.

Only tests arm them, to end the process at each in turn (tests/crash_recovery).
They stand where all calls of a kind pass: in the events of AWS's clients, in `Database` and `ConnectionHolder`, and in
`Api`. Code built on these needs no crash points of its own.
"""

from collections.abc import Callable

Watcher = Callable[[str], None]

_watcher: Watcher | None = None


def crash_point(name: str) -> None:
    """Pass a crash point; a no-op unless a watcher is set."""
    if _watcher is not None:
        _watcher(name)


def watch_crash_points(watcher: Watcher) -> None:
    """Set the function that is called with the name of each crash point that any thread of this process passes."""
    global _watcher
    _watcher = watcher
