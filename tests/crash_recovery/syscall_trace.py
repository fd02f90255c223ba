"""Traces of what leaves a process, made without its code: audit events for HTTP, libpq's trace for SQL."""

import re
import sys
import tempfile
import threading
from datetime import datetime
from typing import Any

import psycopg

# libpq's trace: time, sender, length, message. These two make the server act, or commit.
_ROUND_TRIPS = re.compile(r"^([0-9-]+ [0-9:.]+)\tF\t[0-9]+\t(Sync|Query)\b", re.MULTILINE)

Event = tuple[str, str, str]  # time, thread or "sql", what: "crash point …" or "sent …"


class ProcessTracer:
    """Watches this process from now on: there is no end to it but the process's own."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._logs: list[Any] = []
        sys.addaudithook(self._note_audit_event)
        connect = psycopg.connect

        def trace_call(*args: Any, **kwargs: Any) -> Any:
            self._note("sql", "sent connect")
            connection = connect(*args, **kwargs)
            log = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - libpq writes to it as long as the process lives
            connection.pgconn.trace(log.fileno())
            self._logs.append((connection, log))
            return connection

        psycopg.connect = trace_call

    def note_crash_point(self, name: str) -> None:
        self._note("sql" if name.startswith("database.") else _name_thread(), f"crash point {name}")

    def list_events(self) -> list[Event]:
        """Return all that was seen, by time."""
        return sorted(
            self._events + [event for log in self._logs for event in _read_round_trips(*log)], key=lambda e: e[0]
        )

    def _note_audit_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "http.client.send":
            self._note(_name_thread(), "sent http")

    def _note(self, lane: str, what: str) -> None:
        self._events.append((datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f"), lane, what))  # noqa: DTZ005 - as libpq does


def _name_thread() -> str:
    return str(threading.get_ident())


def _read_round_trips(connection: Any, log: Any) -> list[Event]:
    connection.pgconn.untrace()
    log.seek(0)
    return [(time, "sql", "sent round trip") for time, _ in _ROUND_TRIPS.findall(log.read().decode())]


# The crash points that must come right before and right after something leaves, on the same lane.
AROUND = {
    "sent connect": ("crash point database.connecting", "crash point database.connected"),
    "sent round trip": ("crash point database.queued", "crash point database.committed"),
    "sent http": ("crash point before-send.", "crash point response-received."),
}


def list_uncovered(events: list[Event]) -> list[str]:
    """Return what left the process without a crash point before and after it; kills at the crash points miss these
    moments.
    """
    found = []
    for lane in {event[1] for event in events}:
        found += _list_uncovered([what for _, its, what in events if its == lane])
    return found


def _list_uncovered(lane: list[str]) -> list[str]:
    found = []
    # A message may leave in two parts, headers and body.
    events = [what for n, what in enumerate(lane) if what.startswith("crash point") or n == 0 or lane[n - 1] != what]
    for n, what in enumerate(events):
        before, after = AROUND.get(what, ("", ""))
        around = (events[n - 1] if n else "", events[n + 1] if n + 1 < len(events) else "")
        if not (around[0].startswith(before) and around[1].startswith(after)):
            found.append(f"{what} between {around[0]!r} and {around[1]!r}")
    return found
