"""The settings that the functions really run with, read from their processes, beside those that the report shows."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil

from stress.reconciliation import ReconciliationLog

if TYPE_CHECKING:
    from stress.local_target import LocalCloud

KIND = "settings of the functions, as their processes have them"


def list_variables(*, mail_rate: int, circuits: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that decide how friendly a run is; limits and retries must be those deployed."""
    return {"MAIL_RATE": str(mail_rate), "CIRCUITS": json.dumps(circuits), "LIMITS": "{}", "RETRY": "{}"}


async def compare_settings(log: ReconciliationLog, wanted: Mapping[str, str], cloud: "LocalCloud") -> None:
    """Compare the variables with those of every execution environment that lives."""
    status = await cloud.http("GET", f"{cloud.origin}/_local/status")
    pids = (each["pid"] for function in status["functions"].values() for each in function["environments"])
    found = _read_environments(pid for pid in pids if pid is not None)
    for name, value in wanted.items():
        log.compare(KIND, name, [_normalise(value)], sorted({_normalise(str(each.get(name))) for each in found}))


def _normalise(value: str) -> str:
    """Return a JSON text in one way of writing it, any other text unchanged."""
    try:
        return json.dumps(json.loads(value), sort_keys=True)
    except ValueError:
        return value


def _read_environments(pids: Iterable[int]) -> list[dict[str, str]]:
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            found.append(psutil.Process(pid).environ())
    return [variables for variables in found if variables]  # one that is just ending has none
