"""The settings that a report shows are compared with those that the functions' processes have."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stress.reconciliation import ReconciliationLog
from stress.settings_reader import KIND, compare_settings, list_variables

TOLD = list_variables(mail_rate=14, circuits={"email": {"open_s": 6}})


@contextmanager
def run_function(**changes: str) -> Iterator[int]:
    """Run a process with the variables of a function; yield its pid."""
    code = "import sys; print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**TOLD, **changes}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def list_differences(*functions: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return what differs if functions run with these changes of what the report shows."""
    log = ReconciliationLog()
    with ExitStack() as stack:
        pids = [stack.enter_context(run_function(**changes)) for changes in functions]

        async def read_status(_method: str, _url: str) -> Any:
            environments = [{"pid": pid} for pid in (*pids, None)]
            return {"functions": {"AgentsFunction": {"environments": environments}, "Unused": {"environments": []}}}

        asyncio.run(compare_settings(log, TOLD, cast("Any", SimpleNamespace(http=read_status, origin="http://x"))))
    assert log.compared[KIND] == len(TOLD)
    return [(each.subject, each.answered, each.found) for each in log.differences]


def test_functions_with_the_settings_of_the_report_differ_in_nothing() -> None:
    """All of them are looked at."""
    assert list_differences({}, {}) == []


@pytest.mark.parametrize("name", list(TOLD))
def test_one_function_with_a_friendlier_setting_is_found(name: str) -> None:
    """Its rate, circuits, limits or retries are not those that the report shows, or the deployed ones."""
    assert list_differences({}, {name: "1000"}) == [(name, f"['{TOLD[name]}']", f"{sorted([TOLD[name], '1000'])}")]


def test_settings_that_nobody_could_read_are_a_difference() -> None:
    """No function lives: nothing was compared."""
    assert [(name, found) for name, _, found in list_differences()] == [(name, "[]") for name in TOLD]
