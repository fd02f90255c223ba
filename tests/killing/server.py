"""Runs deployed handlers, each call in a fresh process that may be killed at a step.

A fork server: it has imported everything and opened nothing, so a fresh process costs a fork. It reads one call a line
on its standard input and answers one line on its standard output:

    {"handler": "members.app.handler", "event": {…}, "seconds": 4, "kill": ["api.ran", 1] | null, "traced": bool}
    {"steps": ["api.received", …], "killed": bool, "answer": {…} | null, "error": "ValueError" | null, "trace": […]}

`kill` is a step's name and which of its occurrences. Settings come from the environment, as in Lambda.
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
from tests.killing.tracing import Tracer
from tests.roles import role_of_module
from worker import app as worker

HANDLERS = ("agents.app", "members.app", "claims.app", "jobs_api.app", "relay.app", "worker.app", "housekeeping.app",
            "operations.app")  # fmt: skip
PATIENT_S = 20.0
SERVICES = ("dynamodb", "sqs", "s3", "cognito-idp", "sesv2")


class Context:
    """What handlers read of Lambda's context."""

    aws_request_id = "killing"

    def __init__(self, seconds: float) -> None:
        self._milliseconds = round(seconds * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


class Run:
    """One call in this process, which tells its parent how far it has come, and may end in the middle."""

    def __init__(self, call: dict[str, Any], pipe: int) -> None:
        self._call = call
        self._pipe = pipe
        self._passed: Counter[str] = Counter()
        self._lock = Lock()
        self._tracer = Tracer() if call.get("traced") else None

    def tell(self, **what: Any) -> None:
        os.write(self._pipe, json.dumps(what).encode() + b"\n")

    def passed(self, name: str) -> None:
        """A step: of whatever thread, it is told first and then, if it is its turn, the last thing of this process."""
        if self._tracer:
            self._tracer.step(name)
        with self._lock:
            self._passed[name] += 1
            self.tell(step=name)
            if self._call.get("kill") == [name, self._passed[name]]:
                os.kill(os.getpid(), signal.SIGKILL)

    def run(self) -> None:
        crash_points.watch_crash_points(self.passed)
        module, _, name = self._call["handler"].rpartition(".")
        os.environ["DB_USER"] = role_of_module(module)
        try:
            answer = getattr(sys.modules[module], name)(self._call["event"], Context(self._call["seconds"]))
            self.tell(answer=answer)
        except Exception as error:  # noqa: BLE001 - the test decides whether it may be
            self.tell(error=f"{type(error).__name__}: {error}")
        if self._tracer:
            self.tell(trace=self._tracer.events())


def serve() -> None:
    """Answers calls until its input ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the handlers log to standard output
    preload()
    replies.write("ready\n")
    for line in sys.stdin:
        replies.write(json.dumps(in_a_process(json.loads(line))) + "\n")


def preload() -> None:
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
    """Circuits are asked in a thread that nobody waits for long; waited for, a call's steps come in one order."""
    container.CIRCUIT_PATIENCE_S = worker.CIRCUIT_PATIENCE_S = PATIENT_S
    clients.CIRCUIT_STORE_TIMEOUT_S = PATIENT_S


def in_a_process(call: dict[str, Any]) -> dict[str, Any]:
    """Forks, and says what became of the process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        Run(call, writing).run()
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = [json.loads(line) for line in pipe]
    _, status = os.waitpid(pid, 0)
    ran = {
        "steps": [entry["step"] for entry in told if "step" in entry],
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        "answer": None,
        "error": None,
        "trace": [],
    }
    return ran | {key: value for entry in told for key, value in entry.items() if key != "step"}


if __name__ == "__main__":
    serve()
