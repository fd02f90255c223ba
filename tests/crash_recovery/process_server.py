"""A fork server that runs deployed handlers, each call in a fresh process that may be killed at a crash point.

The server has imported everything and opened nothing, so a fresh process costs a fork. It reads one call a line
on its standard input and answers one line on its standard output:

    {"handler": "members.app.handler", "event": {…}, "seconds": 4, "kill": ["api.ran", 1] | null, "traced": bool}
    {"crash_points": ["api.received", …], "killed": bool, "answer": {…} | null, "error": "…" | null, "trace": […]}

`kill` is a crash point's name and which of its occurrences. Settings come from the environment, as in Lambda.
"""

import gc
import importlib
import json
import os
import signal
import sys
from collections import Counter
from threading import Lock
from typing import Any

import boto3

from shared import container, crash_points
from shared.aws import clients
from tests.crash_recovery.syscall_trace import ProcessTracer
from tests.roles import find_role_of_module
from worker import app as worker

HANDLERS = ("agents.app", "members.app", "claims.app", "jobs_api.app", "relay.app", "worker.app", "housekeeping.app",
            "operations.app")  # fmt: skip
PATIENT_S = 20.0
SERVICES = ("dynamodb", "sqs", "s3", "cognito-idp", "sesv2")


class TimedContext:
    """The part of Lambda's context that handlers read."""

    aws_request_id = "killing"

    def __init__(self, seconds: float) -> None:
        self._milliseconds = round(seconds * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


class KillableCall:
    """A call in this process, which reports each crash point to its parent, and may be killed at one."""

    def __init__(self, call: dict[str, Any], pipe: int) -> None:
        self._call = call
        self._pipe = pipe
        self._counts: Counter[str] = Counter()
        self._lock = Lock()
        self._tracer = ProcessTracer() if call.get("traced") else None

    def send(self, **what: Any) -> None:
        os.write(self._pipe, json.dumps(what).encode() + b"\n")

    def pass_crash_point(self, name: str) -> None:
        """Report a crash point, of whatever thread; then kill this process if it is the one asked for."""
        if self._tracer:
            self._tracer.note_crash_point(name)
        with self._lock:
            self._counts[name] += 1
            self.send(crash_point=name)
            if self._call.get("kill") == [name, self._counts[name]]:
                os.kill(os.getpid(), signal.SIGKILL)

    def run(self) -> None:
        crash_points.watch_crash_points(self.pass_crash_point)
        module, _, name = self._call["handler"].rpartition(".")
        os.environ["DB_USER"] = find_role_of_module(module)
        try:
            answer = getattr(sys.modules[module], name)(self._call["event"], TimedContext(self._call["seconds"]))
            self.send(answer=answer)
        except Exception as error:  # noqa: BLE001 - the test decides whether it may be
            self.send(error=f"{type(error).__name__}: {error}")
        if self._tracer:
            self.send(trace=self._tracer.list_events())


def serve() -> None:
    """Answers calls until its input ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the handlers log to standard output
    import_all()
    replies.write("ready\n")
    for line in sys.stdin:
        replies.write(json.dumps(run_in_process(json.loads(line))) + "\n")


def import_all() -> None:
    """Imports all, and reads the descriptions that AWS clients are made from; these clients are thrown away."""
    for name in HANDLERS:
        importlib.import_module(name)
    build: Any = boto3.client
    for service in SERVICES:
        build(service)
    wait_for_circuits()
    gc.collect()
    gc.freeze()


def wait_for_circuits() -> None:
    """Wait for the threads that ask circuits, so that a call's crash points always come in one order."""
    container.CIRCUIT_PATIENCE_S = worker.CIRCUIT_PATIENCE_S = PATIENT_S
    clients.IMPATIENT_TIMEOUT_S = PATIENT_S


def run_in_process(call: dict[str, Any]) -> dict[str, Any]:
    """Forks, and says what became of the process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        KillableCall(call, writing).run()
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        messages = [json.loads(line) for line in pipe]
    _, status = os.waitpid(pid, 0)
    result = {
        "crash_points": [entry["crash_point"] for entry in messages if "crash_point" in entry],
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        "answer": None,
        "error": None,
        "trace": [],
    }
    return result | {key: value for entry in messages for key, value in entry.items() if key != "crash_point"}


if __name__ == "__main__":
    serve()
