"""The cloud with the predecessor's settings, which a full run compares the service with."""

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from stress.ledger import Ledger, Sample
from stress.load import Clock, Generator
from stress.people import People
from stress.profiles import SHORT
from stress.scenarios import before
from stress.stage import Stage
from tests.services import ROOT

FEW = before.CONNECTIONS // 2
MANY = 6 * before.CONNECTIONS


def stage_in(folder: Path) -> Stage:
    """A stage with all that the second cloud takes from it."""
    ledger, unused = Ledger(), cast("Any", SimpleNamespace())
    generator = Generator("http://127.0.0.1:9", ledger, Clock(), lambda _: None).of("capacity")
    return Stage(
        key="capacity",
        title="Load and capacity",
        promise="",
        profile=SHORT,
        generator=generator,
        people=People(1),
        ledger=ledger,
        live=cast("Any", SimpleNamespace(step=lambda *_: None)),
        target=unused,
        crowd=unused,
        monitor=unused,
        faults=unused,
        root=ROOT,
        state=folder,
    )


async def bursts(stage: Stage, *counts: int) -> list[list[Sample]]:
    """So many calls at the same instant on a cloud with the predecessor's settings, one burst after another."""
    answered = []
    async with before.cloud(stage) as side:
        for count in counts:
            await side.fresh(side.cloud)
            calls = side.at_once(count)
            side.generator.ready(calls)
            answered.append(await side.generator.burst(calls))
    return answered


def test_ten_connections_serve_a_few_callers_and_turn_many_away(tmp_path: Path) -> None:
    """Its environments start, a few callers are all served, and of many some find no connection, as it was with ten."""
    few, many = asyncio.run(bursts(stage_in(tmp_path), FEW, MANY))
    assert Counter(sample.accepted for sample in few) == {True: FEW}
    assert {sample.status for sample in many} == {200, 201, 503}
