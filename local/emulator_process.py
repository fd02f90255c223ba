"""The AWS emulator's process, run by the Python of its own environment: ministack, with state that survives a crash.

Ministack writes its state when it is stopped, and does not keep mails. Here the mails are kept too, and the state is
also written while it runs: after a moment without changes, and at the latest after half a minute.
"""

import asyncio
import copy
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypercorn.config import Config
from ministack import app as ministack
from ministack.core.persistence import save_all
from ministack.services import ses

sys.path.append(str(Path(__file__).resolve().parent.parent))  # at the end of the path, for these imports
from local.emulated_alarms import add_composite_alarms, judge_alarms_by_their_dimensions
from local.emulated_deployments import add_deployments
from local.emulated_faults import add_faults
from local.emulated_headers import keep_headers
from local.emulated_traces import keep_trace_headers
from local.emulator_checkpoints import QUIET_S, CheckpointSchedule, Message, is_write

GRACE_S = 0.5  # for calls under way at the stop; idle connections would use up all of the default 3 s

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def add_checkpoints(application: Application, checkpoints: CheckpointSchedule) -> Application:
    """Return the application with its changes recorded and its state written regularly."""

    async def note_changes(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            asyncio.get_running_loop().create_task(write_when_due(checkpoints), name="checkpoints")
        await application(scope, receive, send)
        if is_write(scope):
            checkpoints.note_change(time.monotonic())

    return note_changes


async def write_when_due(checkpoints: CheckpointSchedule) -> None:
    """Write the state whenever it is due, as long as the process lives."""
    while True:
        await asyncio.sleep(QUIET_S)
        if checkpoints.is_due(time.monotonic()):
            checkpoints.clear()
            save_all(ministack._build_persistence_save_dict())  # noqa: SLF001 - it has no public name


def keep_mails() -> None:
    """Include the mails in what the mail service saves and loads."""
    state, load = ses.get_state, ses.load_persisted_state

    def get_state() -> dict[str, Any]:
        return {**state(), "_sent_emails": copy.deepcopy(ses._sent_emails)}  # noqa: SLF001

    def load_state(data: dict[str, Any]) -> None:
        load(data)
        if "_sent_emails" in data:
            ses._sent_emails._data.update(data["_sent_emails"]._data)  # noqa: SLF001

    ses.get_state, ses.load_persisted_state = get_state, load_state


def drop_running_calls_at_stop() -> None:
    """Let the server stop while calls are running, such as a queue's long poll of 20 s.

    Hypercorn awaits `Server.wait_closed()` before it gives calls their GRACE_S. Up to Python 3.11 that returns at once;
    since 3.12 it waits for the last call to end.
    """

    async def return_at_once(_server: asyncio.base_events.Server) -> None:
        return

    asyncio.base_events.Server.wait_closed = return_at_once  # type: ignore[method-assign,assignment]


def main() -> None:
    """Serve until the process is ended."""
    add_composite_alarms()
    judge_alarms_by_their_dimensions()
    add_deployments()
    keep_mails()
    keep_headers()
    drop_running_calls_at_stop()
    ministack.app = keep_trace_headers(ministack.app)
    Config.graceful_timeout = GRACE_S
    if os.environ["CHECKPOINTS"] == "1":
        ministack.app = add_checkpoints(ministack.app, CheckpointSchedule())
    ministack.app = add_faults(ministack.app)
    ministack.main()


if __name__ == "__main__":
    main()
