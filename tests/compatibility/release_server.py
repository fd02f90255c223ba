"""A server that runs the handlers of another release, each call in a process forked for it.

It is started with the release's folders as PYTHONPATH, and imports nothing of this tree's but this file. It reads one
call a line on its standard input and answers one line on its standard output:

    {"handler": "members.app.handler", "environment": {"DB_USER": "…"}, "event": {…}, "seconds": 28}
    {"answer": {…} | null, "error": "…" | null}
"""

import importlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

MODULES = ("agents.app", "members.app", "claims.app", "jobs_api.app", "relay.app", "worker.app", "housekeeping.app",
           "health.app", "operations.app")  # fmt: skip


def serve(release: Path) -> None:
    """Answer calls until the input ends. Raise RuntimeError if a module is not that release's."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the handlers log to standard output
    for name in ("shared", *MODULES):
        found = Path(str(importlib.import_module(name).__file__)).resolve()
        if not found.is_relative_to(release.resolve()):
            raise RuntimeError(f"{name} is imported from {found}, not from {release}")
    replies.write("ready\n")
    for line in sys.stdin:
        replies.write(call_in_process(json.loads(line)) + "\n")


def call_in_process(call: dict[str, Any]) -> str:
    """Return the line that answers a call; a process that dies answers nothing."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.write(writing, json.dumps(call_handler(call)).encode())
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    return answer or json.dumps({"answer": None, "error": "the process died"})


def call_handler(call: dict[str, Any]) -> dict[str, Any]:
    """Return what a handler answers, or the error that it raises."""
    os.environ.update(call["environment"])
    module, _, name = call["handler"].rpartition(".")
    context = SimpleNamespace(
        aws_request_id="compatibility", get_remaining_time_in_millis=lambda: round(call["seconds"] * 1000)
    )
    try:
        return {"answer": getattr(sys.modules[module], name)(call["event"], context), "error": None}
    except Exception as error:  # noqa: BLE001 - the test decides what it means
        return {"answer": None, "error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
