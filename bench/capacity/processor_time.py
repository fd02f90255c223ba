"""The processor time of each part of a local cloud, of its processes as the kernel has counted it (/proc).

A process that has ended counts on: the kernel adds its time to its parent's children. PostgreSQL's sessions and the
environments of functions come and go, so their parents' children are theirs.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import psutil

from stress.local_target import LocalCloud

GENERATOR = "generator"
# In the order in which the page shows them.
GROUPS = {
    "functions": "functions that answer",
    "jobs": "relay and worker",
    "gateway": "gateway and runtime",
    "proxy": "database proxy",
    "postgres": "PostgreSQL",
    "emulator": "AWS emulator",
    GENERATOR: "load generator",
}
# The processes that `make up` names in its state.json.
RECORDED = {"postgres": "postgres", "emulator": "emulator", "database_proxy": "proxy", "gateway": "gateway"}
# The packages of functions that no call waits for. All others answer calls.
BACKGROUND = frozenset({"relay", "worker", "housekeeping", "operations", "migration", "pretraffic", "database_setup"})
RUNTIME_CLIENT = "awslambdaric"  # `python -m awslambdaric members.app.handler`


def read_processor_time(cloud: LocalCloud) -> dict[str, float]:
    """Return the seconds of processor time that each group has used so far; the generator is this process."""
    children = _list_children()
    seconds = defaultdict(float, dict.fromkeys(GROUPS, 0.0))
    for process, group in _list_processes(cloud, children):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # ended meanwhile: then its parent has its time
            times, named = process.cpu_times(), _find_group(process, group)
            seconds[named] += times.user + times.system
            ended = times.children_user + times.children_system
            seconds["functions" if named == "gateway" else named] += ended
    own = psutil.Process().cpu_times()
    seconds[GENERATOR] += own.user + own.system
    return dict(seconds)


def _list_children() -> dict[int, list[psutil.Process]]:
    """Return the processes of this machine by their parents."""
    children: dict[int, list[psutil.Process]] = defaultdict(list)
    for process in psutil.process_iter(["ppid"]):
        children[process.info["ppid"]].append(process)
    return children


def _list_processes(
    cloud: LocalCloud, children: dict[int, list[psutil.Process]]
) -> Iterator[tuple[psutil.Process, str]]:
    """Yield the processes of a cloud and what each belongs to, children after their parents."""
    recorded = json.loads((cloud.folder / "state.json").read_text(encoding="utf-8"))["children"]
    roots = {each["pid"]: RECORDED[each["name"]] for each in recorded if each["name"] in RECORDED}
    roots |= {each.pid: "emulator" for each in children[os.getpid()] if _is_mail_proxy(each, cloud)}
    for pid, group in roots.items():
        with suppress(psutil.NoSuchProcess):
            yield psutil.Process(pid), group
        yield from ((below, group) for below in _list_below(pid, children))


def _list_below(pid: int, children: dict[int, list[psutil.Process]]) -> Iterator[psutil.Process]:
    for child in children[pid]:
        yield child
        yield from _list_below(child.pid, children)


def _is_mail_proxy(process: psutil.Process, cloud: LocalCloud) -> bool:
    """Return whether a process is the proxy before SES of this cloud, which is no part of `make up`."""
    try:
        return cloud.mail_line.rpartition(":")[2] in process.cmdline() and "stress.mail_proxy" in process.cmdline()
    except psutil.Error:
        return False


def _find_group(process: psutil.Process, group: str) -> str:
    """Return to which group a process belongs that stands below one of `group`: environments are the functions'."""
    command = process.cmdline() if group == "gateway" else []
    if RUNTIME_CLIENT not in command:
        return group
    package = command[-1].partition(".")[0]
    return "jobs" if package in BACKGROUND else "functions"


def subtract_times(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """Return the seconds of each group between two readings."""
    return {group: max(0.0, after[group] - before[group]) for group in GROUPS}
