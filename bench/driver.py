"""The program in which a stack is measured: it imports a handler step by step, and calls it with what it is sent.

    python driver.py '{"imports": "from members.app import handler", "clients": "…", "connection": "…"}'

It runs on the stack's own Python and needs the standard library only. It talks in lines of JSON: first it prints when
each step ended and what the process has become, then it answers each line that it reads:

{"call": <event>}         the handler's answer, its wall and its CPU time, in ms; the CPU time is that of all threads
{"measure": true}         the number of modules and the resident memory
{"allocations": <event>}  the most memory that a call holds at a time, and what it leaves behind, in bytes
"""

import time

BEGAN = time.monotonic()  # before anything else: until here it was the interpreter's start

import json  # noqa: E402 - after the time
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Mapping  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

Handler = Callable[[dict[str, Any], Any], Any]


class InvocationContext:
    """The context of an invocation, as far as handlers and libraries read it."""

    function_name = "bench"
    function_version = "1"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:bench"
    memory_limit_in_mb = "1024"
    aws_request_id = "bench"
    log_group_name = log_stream_name = "bench"
    identity = client_context = None

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left, which here is always all of it."""
        return 28_000


def measure_process() -> dict[str, Any]:
    """Return how many modules are loaded, and the resident memory in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {"modules": len(sys.modules), "rss_kib": int(fields["VmRSS"].split()[0])}


def run_steps(steps: Mapping[str, str], namespace: dict[str, Any]) -> dict[str, float]:
    """Run the steps' code one after the other; return when each of them ended, by the monotonic clock."""
    ended = {}
    for name, code in steps.items():
        exec(compile(code, name, "exec"), namespace)  # noqa: S102 - our own lines, of bench/programs.py
        ended[name] = time.monotonic()
    return ended


def measure_call(handler: Handler, event: dict[str, Any]) -> dict[str, Any]:
    """Call the handler; return its answer and what the call has taken."""
    context = InvocationContext()
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    answer = handler(event, context)
    wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    return {"answer": answer, "wall_ms": wall / 1e6, "cpu_ms": cpu / 1e6}


def measure_allocations(handler: Handler, event: dict[str, Any]) -> dict[str, Any]:
    """Call the handler; return the most memory that the call has held, and what has remained of it."""
    import gc
    import tracemalloc

    gc.collect()
    tracemalloc.start()
    answer = handler(event, InvocationContext())
    left, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"answer": answer, "peak_bytes": peak, "left_bytes": left}


def main() -> None:
    """Run the steps, then answer what is asked until the input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the handler logs
    namespace: dict[str, Any] = {}
    ended = run_steps(json.loads(sys.argv[1]), namespace)
    reply: dict[str, Any] = {"began": BEGAN, "ended": ended, **measure_process()}
    while True:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        line = sys.stdin.readline()
        if not line:
            return
        question = json.loads(line)
        if "call" in question:
            reply = measure_call(namespace["handler"], question["call"])
        elif "allocations" in question:
            reply = measure_allocations(namespace["handler"], question["allocations"])
        else:
            reply = measure_process()


if __name__ == "__main__":
    main()
