"""The cloud with the predecessor's settings, which a full run compares the service with."""

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from stress.call_factory import CallFactory
from stress.ledger import CallLedger, CallSample
from stress.load_generator import LoadGenerator, RunClock
from stress.profiles import SHORT
from stress.scenario_context import LocalScenarioContext
from stress.scenarios import predecessor
from tests.services import ROOT

FEW = predecessor.CONNECTIONS // 2
MANY = 6 * predecessor.CONNECTIONS


def make_context(folder: Path) -> LocalScenarioContext:
    """Return a scenario context with all that the second cloud takes from it."""
    ledger, unused = CallLedger(), cast("Any", SimpleNamespace())
    generator = LoadGenerator("http://127.0.0.1:9", ledger, RunClock(), lambda _: None).copy_for_scenario("capacity")
    return LocalScenarioContext(
        key="capacity",
        title="Load and capacity",
        promise="",
        profile=SHORT,
        generator=generator,
        call_factory=CallFactory(1),
        ledger=ledger,
        progress=cast("Any", SimpleNamespace(note_step=lambda *_: None)),
        target=unused,
        fixtures=unused,
        monitor=unused,
        faults=unused,
        root=ROOT,
        state=folder,
    )


async def send_bursts(context: LocalScenarioContext, *counts: int) -> list[list[CallSample]]:
    """Send bursts of so many simultaneous calls, one after another, to a cloud with the predecessor's settings."""
    answered = []
    async with predecessor.start_predecessor(context) as system:
        for count in counts:
            await system.reset(system.cloud)
            calls = system.make_burst(count)
            system.generator.prepare(calls)
            answered.append(await system.generator.send_burst(calls))
    return answered


def test_ten_connections_serve_a_few_callers_and_turn_many_away(tmp_path: Path) -> None:
    """Its environments start, a few callers are all served, and of many some find no connection, as it was with ten."""
    few, many = asyncio.run(send_bursts(make_context(tmp_path), FEW, MANY))
    assert Counter(sample.is_accepted for sample in few) == {True: FEW}
    assert {sample.status for sample in many} == {200, 201, 503}
