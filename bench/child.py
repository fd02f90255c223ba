"""A program that runs in a process of its own, and what it tells of itself."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.programs import STEPS, MeasuredProgram

DRIVER = Path(__file__).with_name("driver.py")
END_S = 10.0
TIME_ZONE = "Europe/Belgrade"  # that of the stack: the peers take the day from the machine's clock


class ProgramFailed(Exception):
    """A program has ended, or has answered a call with an error; the message says which and how."""


@dataclass(frozen=True)
class StartTimes:
    """When a process began and when each part of its start ended, by the monotonic clock, and what it has loaded."""

    spawned: float
    interpreter: float
    ended: Mapping[str, float]
    modules: int
    rss_kib: int

    def list_parts_ms(self) -> dict[str, float]:
        """Return how long each part took: the interpreter, then each step."""
        ends = [self.spawned, self.interpreter, *(self.ended[step] for step in STEPS)]
        parts = zip(("interpreter", *STEPS), ends, ends[1:], strict=False)
        return {name: (end - begin) * 1000 for name, begin, end in parts}


@dataclass(frozen=True)
class CallTimes:
    """A call's answer, its wall and its CPU time."""

    answer: Mapping[str, Any]
    wall_ms: float
    cpu_ms: float


class ProgramProcess:
    """A running program; it answers one question at a time."""

    def __init__(self, program: MeasuredProgram, process: "subprocess.Popen[str]", spawned: float) -> None:
        self.program = program
        self.pid = process.pid
        self._process = process
        told = self._read_reply()
        self.start = StartTimes(spawned, told["began"], told["ended"], told["modules"], told["rss_kib"])

    def call(self, event: Mapping[str, Any]) -> CallTimes:
        """Call the handler. Raise ProgramFailed for an answer that is no success."""
        times = CallTimes(**self._ask({"call": event}))
        self._check(times.answer)
        return times

    def call_whatever(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call the handler and return its answer, whatever it is."""
        return cast("Mapping[str, Any]", self._ask({"call": event})["answer"])

    def measure_allocations(self, event: Mapping[str, Any]) -> dict[str, int]:
        """Call the handler; return the most bytes that it held at a time, and those that it has left behind."""
        reply = self._ask({"allocations": event})
        self._check(reply["answer"])
        return {"peak_bytes": reply["peak_bytes"], "left_bytes": reply["left_bytes"]}

    def measure(self) -> dict[str, int]:
        """Return how many modules are loaded, and the resident memory in KiB."""
        return self._ask({"measure": True})

    def stop(self) -> None:
        """End the process: it ends with its input."""
        try:
            self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _check(self, answer: Mapping[str, Any]) -> None:
        if answer["statusCode"] >= 300:
            raise ProgramFailed(f"{self.program.title} has answered {answer['statusCode']}: {answer['body']}")

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None:
            raise AssertionError
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read_reply()

    def _read_reply(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise ProgramFailed(f"{self.program.title} has ended: its last words are above")
        reply: dict[str, Any] = json.loads(line)
        return reply


def build_variables(program: MeasuredProgram, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a program's process: those of the cloud, and none of this machine's."""
    path = os.pathsep.join(map(str, program.import_path))
    return {
        **environment,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": path,
        "TZ": TIME_ZONE,
    }


def start_program(program: MeasuredProgram, environment: Mapping[str, str]) -> ProgramProcess:
    """Start a program, and return when the steps of its start have ended."""
    command = [str(program.python), str(DRIVER), json.dumps(program.steps)]
    variables = build_variables(program, environment)
    spawned = time.monotonic()
    process = subprocess.Popen(
        command,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # a terminal's Ctrl-C reaches us alone, and we end it
    )
    return ProgramProcess(program, process, spawned)


@contextmanager
def run_program(program: MeasuredProgram, environment: Mapping[str, str]) -> Iterator[ProgramProcess]:
    """Run a program for as long as the block lasts."""
    process = start_program(program, environment)
    try:
        yield process
    finally:
        process.stop()
