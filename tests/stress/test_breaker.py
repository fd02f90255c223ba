"""The breaker's scenario says of a circuit that nobody asks how many calls it let through."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stress.controls.model import FILE, read_controls
from stress.function_log import LogReader
from stress.mail_proxy import THROTTLED, MailCall
from stress.scenarios import breaker
from tests.stress.test_scenario_context import make_context

[DISABLED] = (each for each in read_controls(FILE.read_text(encoding="utf-8")) if each.name == "breaker-disabled")


def judge_calls(failed: int, log: Path) -> dict[str, bool]:
    """Return the checks about a circuit without a line in its log; `failed` calls have reached its service."""
    calls = [MailCall("job", n / 10, THROTTLED, sent=False, ended=n / 10 + 0.05) for n in range(failed)]

    async def control_mail(**_: object) -> dict[str, Any]:
        return {"calls": [asdict(call) for call in calls]}

    context = make_context()
    context.target = cast("Any", SimpleNamespace(control_mail=control_mail))
    asyncio.run(breaker._judge_circuit(breaker.MailOutage(context, LogReader(log), began=0.0)))
    return {check.name: check.passed for check in context.checks}


@pytest.mark.parametrize(("failed", "holds"), [(15, True), (16, False)])
def test_calls_that_no_opening_and_no_probe_explains_are_found_and_end_no_scenario(
    failed: int, holds: bool, tmp_path: Path
) -> None:
    """Five open the circuit, and each of ten workers may call once more: the control's own check says it."""
    checks = judge_calls(failed, tmp_path / "WorkerFunction.log")
    assert [passed for name, passed in checks.items() if DISABLED.expect in name] == [holds]
    assert not checks["The circuit's own log: opened, a failed probe for each other failure, closed"]
    assert not checks["Each probe in the circuit's log is one call of the service"]
