"""A run's way through its scenarios: one that breaks off fails by name, and takes no other with it."""

import asyncio
from collections.abc import Awaitable, Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from stress import run as runs
from stress.ledger import Sample
from stress.live import Live
from stress.load import Generator
from stress.model import Report
from stress.monitor import Monitor, Said
from stress.processes import free_port
from stress.profiles import CONTROL, FULL, SHORT, Profile
from stress.run import Options, Run
from stress.scenarios import claims, pool
from stress.stage import Stage
from tests.stress.calls import answered, call, taking

END = "The scenario came to its end"
Work = Callable[[Stage], Awaitable[None]]


async def good(stage: Stage) -> None:
    """All holds."""
    stage.equal("One is one", 1, 1)
    stage.audit.compare("rows", "one", 1, 1)


async def bad(stage: Stage) -> None:
    """A check does not hold."""
    stage.equal("One is two", 2, 1)


async def broken(stage: Stage) -> None:
    """It breaks off after its first check."""
    stage.equal("One is one", 1, 1)
    raise RuntimeError("the floor is lava " * 100)


async def idle(_stage: Stage) -> None:
    """It asserts nothing."""


def driven(
    monkeypatch: pytest.MonkeyPatch, folder: Path, scenarios: dict[str, tuple[Work, ...]], **given: Any
) -> Report:
    """The report of a run of these scenarios (`run`, and maybe `finish`), before a system that is not there."""
    modules = {
        key: SimpleNamespace(
            TITLE=key.title(), PROMISE="It holds.", **dict(zip(("run", "finish"), works, strict=False))
        )
        for key, works in scenarios.items()
    }
    monkeypatch.setattr(runs, "SCENARIOS", modules)
    options = Options(root=folder, state=folder, out=folder, profile=CONTROL, **given)

    async def go() -> Report:
        with Live(profile="control", expected_s=1, console=Console(file=StringIO())) as live:
            run = Run(options, live)
            generator = Generator(f"http://127.0.0.1:{free_port()}", run.ledger, run.clock, run._told)
            monitor = Monitor(generator.of("health"), run.people)
            try:
                await run._scenarios(generator, cast("Any", None), monitor)
            finally:
                await monitor.stop()
                await generator.close()
            return run._report(monitor)

    return asyncio.run(go())


def test_a_scenario_that_breaks_off_fails_by_name_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it had found before stands beside the reason."""
    report = driven(monkeypatch, tmp_path, {"pool": (good,), "agents": (broken,), "members": (good,)})
    assert [(r.key, r.title, r.status) for r in report.results] == [
        ("pool", "Pool", "PASS"), ("agents", "Agents", "FAIL"), ("members", "Members", "PASS")]  # fmt: skip
    first, last = report.results[1].checks
    assert (first.passed, last.name, last.passed, last.wanted) == (True, END, False, "its end")
    assert last.found.startswith("RuntimeError: the floor is lava")
    assert len(last.found) <= 500
    assert (report.verdict, report.passed, report.total) == ("FAIL", 2, 3)


def test_a_run_is_as_good_as_its_scenarios(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All pass; one asserts nothing; one fails."""
    assert driven(monkeypatch, tmp_path, {"pool": (good,), "agents": (good,)}).verdict == "PASS"
    assert driven(monkeypatch, tmp_path, {"pool": (good,), "agents": (idle,)}).verdict == "INVALID"
    assert driven(monkeypatch, tmp_path, {"pool": (bad,), "agents": (idle,)}).verdict == "FAIL"


def test_what_a_scenario_can_only_judge_at_the_end_is_part_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`finish` runs after all of them, also where `run` broke off; and may break off itself."""
    order: list[str] = []

    async def noted(stage: Stage) -> None:
        order.append(stage.key)
        await good(stage)

    async def finished(stage: Stage) -> None:
        order.append(f"{stage.key} finished")
        stage.equal("Two are two", 2, 2)

    works: dict[str, tuple[Work, ...]] = {
        "pool": (noted, finished),
        "agents": (noted, broken),
        "members": (broken, finished),
    }
    report = driven(monkeypatch, tmp_path, works)
    assert order == ["pool", "agents", "pool finished", "members finished"]
    assert [(r.status, len(r.checks)) for r in report.results] == [("PASS", 2), ("FAIL", 3), ("FAIL", 3)]


def test_only_what_was_asked_for_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And counted."""
    report = driven(monkeypatch, tmp_path, {"pool": (good,), "agents": (bad,)}, only=("pool",))
    assert ([r.key for r in report.results], report.total, report.verdict) == (["pool"], 1, "PASS")


def test_each_scenario_has_samples_and_stall_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Calls to nobody are counted where they were made, and a stalled generator makes each of them invalid."""
    monkeypatch.setattr(runs, "STALL_S", 0.1)

    async def sends(stage: Stage) -> None:
        stage.audit.compare("rows", "one", 1, 1)
        stage.equal("Nobody is there", [0, 0], [s.status for s in await stage.burst([_to_nobody(), _to_nobody()])])

    works: dict[str, tuple[Work, ...]] = {"pool": (sends,), "agents": (sends,)}
    assert [(r.status, r.samples) for r in driven(monkeypatch, tmp_path, works).results] == [("PASS", 2)] * 2
    stalled = driven(monkeypatch, tmp_path, works, stall=True)
    assert [(r.status, r.samples) for r in stalled.results] == [("INVALID", 2)] * 2


def _to_nobody() -> Any:
    return call(wanted=(0,))


def test_the_timeline_counts_answers_by_the_second(tmp_path: Path) -> None:
    """Wrong ones apart, and refusals that were meant apart from both; circuits and health as they were said."""
    run = Run(Options(root=tmp_path, state=tmp_path, out=tmp_path, profile=CONTROL), cast("Any", None))
    run.clock = cast("Any", SimpleNamespace(now=lambda: 2.5))

    def ended(sample: Sample, done: float) -> Sample:
        return taking(sample, sent_s=0, done_s=done)

    meant = answered(call(wanted=(429,)), 429)
    for sample in (ended(answered(call()), 0.1), ended(answered(call(), 500), 1.1), ended(meant, 1.9)):
        run.ledger.note(sample)
    report = {"status": "healthy", "checks": {"email": {"circuit": "open"}, "identity": {}, "storage": {}}}
    said = [Said(1, 1.2, "no answer", {}), Said(0, 0.2, "healthy", report)]
    found = run._timeline(cast("Any", SimpleNamespace(said=said)))
    assert found.throughput == [(0, 1), (1, 2), (2, 0)]
    assert (found.errors, found.refused) == ([(0, 0), (1, 1), (2, 0)], [(0, 0), (1, 1), (2, 0)])
    assert [(i.state, i.began_s, i.ended_s) for i in found.health] == [("healthy", 0.2, 1.2), ("no answer", 1.2, 2.5)]
    assert [(i.state, i.began_s, i.ended_s) for i in found.circuits["email"]] == [("open", 0.2, 2.5)]


def test_a_run_that_cannot_start_stops_what_it_has_started(tmp_path: Path) -> None:
    """And says so: no report is better than one of nothing."""
    done: list[str] = []

    async def start() -> None:
        done.append("start")
        raise RuntimeError("no cloud")

    async def stop() -> None:
        done.append("stop")

    run = Run(
        Options(root=tmp_path, state=tmp_path, out=tmp_path, profile=CONTROL), cast("Any", SimpleNamespace(step=print))
    )
    run.cloud = cast("Any", SimpleNamespace(start=start, stop=stop))
    with pytest.raises(RuntimeError, match="no cloud"):
        asyncio.run(run.all())
    assert done == ["start", "stop"]


@pytest.mark.parametrize("profile", [FULL, SHORT, CONTROL], ids=lambda profile: profile.name)
def test_as_many_members_sign_in_as_the_scenarios_take(profile: Profile) -> None:
    """The pool's crowds, the claims', the one of the priorities, and the users: of those that are to run."""
    taken: list[int] = []

    def take(count: int) -> list[object]:
        taken.append(count)
        return [object()] * count

    stage = cast("Stage", SimpleNamespace(crowd=SimpleNamespace(take=take), profile=profile))
    pool.Crowd(stage, pool.CALLERS)
    pool.Crowd(stage, profile.at_once)
    assert runs.members_needed(["pool"], profile) == sum(taken)
    others = claims.CROWD + 1 + 1 + profile.user_count
    assert runs.members_needed(runs.SCENARIOS, profile) == sum(taken) + others
    assert runs.members_needed(["breaker", "agents"], profile) == 0
