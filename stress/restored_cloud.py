"""A local cloud whose database is restored to a point in time, by the local cloud's own commands and Lambda's API."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from stress.local_target import LocalCloud
from stress.processes import stop

RESTORED = "restored"  # its port's name in state.json
# They have to answer while everything that writes stands still: docs/how-to/restore.md, step 1.
KEPT_RUNNING = frozenset({"AdminFunction", "MigrationFunction", "PreTrafficFunction"})
# What nobody can undo but by a backup.
DAMAGE = "TRUNCATE accounts CASCADE"


class RestoreCommandFailed(Exception):
    """The backup or the restore did not succeed; the message has what its command said."""


async def back_up(cloud: LocalCloud) -> None:
    """Take a base backup of the database. Raise RestoreCommandFailed."""
    process = cloud.start_command("backup")
    output, _ = await asyncio.to_thread(process.communicate)
    if process.returncode != 0:
        raise RestoreCommandFailed(output.decode(errors="replace"))


async def read_limits(cloud: LocalCloud) -> dict[str, int]:
    """Return how many invocations of each function may run at the same time."""
    status = await cloud.http("GET", f"{cloud.origin}/_local/status")
    return {name: int(each["limit"]) for name, each in status["functions"].items()}


async def reserve(cloud: LocalCloud, limits: Mapping[str, int]) -> None:
    """Set how many invocations of each of these functions may run at the same time."""
    for function, limit in limits.items():
        url = f"{cloud.origin}/2017-10-31/functions/{function}/concurrency"
        await cloud.http("PUT", url, {"ReservedConcurrentExecutions": limit})


@asynccontextmanager
async def refuse_invocations(cloud: LocalCloud, functions: Iterable[str]) -> AsyncIterator[None]:
    """Leave these functions no concurrency within the block."""
    before = await read_limits(cloud)
    names = list(functions)
    await reserve(cloud, dict.fromkeys(names, 0))
    try:
        yield
    finally:
        await reserve(cloud, {name: before[name] for name in names})


async def list_writing_functions(cloud: LocalCloud) -> list[str]:
    """Return the functions that must stand still while a database is restored."""
    return [name for name in await read_limits(cloud) if name not in KEPT_RUNNING]


@asynccontextmanager
async def restore(cloud: LocalCloud, moment: datetime) -> AsyncIterator[None]:
    """Run a server with what was committed until a moment, with all clients redirected to it, within the block.

    Raise RestoreCommandFailed.
    """
    process = cloud.start_command("restore", "--to", moment.isoformat())
    try:
        output = await asyncio.to_thread(_wait_until_restored, process)
        ports = json.loads((cloud.folder / "state.json").read_text())["ports"]
        if RESTORED not in ports:
            raise RestoreCommandFailed(output)
        cloud.ports, cloud.writer_port = ports, RESTORED
        yield
    finally:
        await asyncio.to_thread(stop, process)


def _wait_until_restored(process: "subprocess.Popen[bytes]") -> str:
    """Return what the command has said until it has restored. Raise RestoreCommandFailed."""
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    output = []
    for raw in process.stdout:
        output.append(line := raw.decode(errors="replace"))
        if line.startswith("restored "):
            return "".join(output)
    raise RestoreCommandFailed("".join(output))


async def reconcile_restore(cloud: LocalCloud, moment: datetime, *, apply: bool) -> dict[str, Any]:
    """Return what the operators' command says of all of its pages. Raise RestoreCommandFailed."""
    found: dict[str, Any] = {}
    command: dict[str, Any] = {"command": "reconcile-restore", "restored_to": moment.isoformat(), "apply": apply}
    while True:
        answer = await cloud.invoke("AdminFunction", command)
        if not isinstance(answer, dict) or "lost_writes" not in answer or answer["stopped_by"]:
            raise RestoreCommandFailed(f"reconcile-restore: {answer}"[:500])
        for name, value in answer.items():
            found[name] = found.get(name, []) + value if isinstance(value, list) else value
        if answer["next"] is None:
            return found
        command["next"] = answer["next"]
