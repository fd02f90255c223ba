"""The predecessor in miniature beside a local cloud, as a full run compares the service with it."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from stress.call_factory import CallFactory
from stress.faults import FaultLog
from stress.fixtures import UserFixtures
from stress.ledger import CallLedger
from stress.load_generator import LoadGenerator, RunClock
from stress.local_target import PREDECESSORS_SENDER, CloudOptions, LocalCloud
from stress.profiles import SHORT
from stress.scenario_context import LocalScenarioContext
from stress.scenarios.compared_systems import ComparedSystem
from stress.scenarios.mixed_load import MIXED_CALLS, run_with_dead_mail, run_with_restart, run_with_slow_mail
from stress.scenarios.predecessor import start_predecessor
from tests.services import ROOT

MEMBERS = 15
MIXED_MAILS = MIXED_CALLS + 15  # a claim sends two
OF_PREDECESSOR = [PREDECESSORS_SENDER]


def make_context(cloud: LocalCloud, folder: Path) -> LocalScenarioContext:
    """Return a scenario context with all that the predecessor takes from it."""
    ledger, clock, unused = CallLedger(), RunClock(), cast("Any", SimpleNamespace())
    generator = LoadGenerator(cloud.api, ledger, clock, lambda _: None).copy_for_scenario("capacity")
    calls = CallFactory(1)
    return LocalScenarioContext(
        key="capacity",
        title="Load and capacity",
        promise="",
        profile=replace(SHORT, user_count=MEMBERS),
        generator=generator,
        call_factory=calls,
        ledger=ledger,
        progress=cast("Any", SimpleNamespace(note_step=lambda *_: None)),
        target=cloud,
        fixtures=UserFixtures(cloud, generator, calls),
        monitor=unused,
        faults=FaultLog(clock),
        root=ROOT,
        state=folder,
    )


async def try_predecessor(context: LocalScenarioContext) -> dict[str, Any]:
    """Return what a predecessor beside the cloud answers, alone and in each trouble, and the mails that it sent."""
    cloud = context.target
    await cloud.start()
    try:
        await context.fixtures.prepare(MEMBERS)
        members = context.fixtures.take_members(MEMBERS)
        async with start_predecessor(context, members, members) as before:
            sent = len(await read_predecessors_mails(cloud))
            found = {"reads": await read_all(before)}
            for run_mix in (run_with_slow_mail, run_with_dead_mail, run_with_restart):
                found[run_mix.__name__] = await run_mix(context, before)
                if run_mix is run_with_slow_mail:
                    found["mails"] = len(await read_predecessors_mails(cloud)) - sent
        found["seen by the run"] = [m for m in await cloud.read_mails() if m["sender"] in OF_PREDECESSOR]
    finally:
        await context.generator.close()
        await cloud.stop()
    return found


async def read_all(system: ComparedSystem) -> Counter[int]:
    """Return the statuses of reads by each member."""
    return Counter(sample.status for sample in await system.generator.send_burst(list(system.make_stream(3))))


async def read_predecessors_mails(cloud: LocalCloud) -> list[dict[str, Any]]:
    """Return the mails that came from the predecessor."""
    mails = await cloud.http("GET", f"{cloud.origin}/_local/mail.json")
    return [mail for mail in mails if mail["sender"] in OF_PREDECESSOR]


def test_the_predecessor_serves_the_same_members_and_fails_where_its_facts_say_so(tmp_path: Path) -> None:
    """With the service's own tokens, through the same mail service, on a database of the same server."""
    cloud = LocalCloud(ROOT, tmp_path / "cloud", CloudOptions(flags=("--no-checkpoints",)))
    found = asyncio.run(try_predecessor(make_context(cloud, tmp_path)))
    assert found["reads"] == {200: 3}
    # Slow mail costs time, and nothing else; each mail has gone through the line.
    assert len(found["run_with_slow_mail"].accepted) == MIXED_CALLS
    assert found["mails"] == MIXED_MAILS
    # Without mail no write succeeds.
    dead = found["run_with_dead_mail"]
    assert Counter(sample.status for sample in dead.samples) == {503: MIXED_CALLS}
    assert dead.refused_mails == MIXED_CALLS
    # Nobody tries again what has met the restart.
    restarted = found["run_with_restart"]
    assert restarted.in_progress > 0
    assert len(restarted.accepted) < MIXED_CALLS
    # The run's reconciliation does not see its mails.
    assert found["seen by the run"] == []
