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
from stress.check_registry import COMMON, CheckEntry, CheckRegistry
from stress.health_monitor import HealthMonitor, HealthSample
from stress.ledger import CallLedger, CallSample
from stress.load_generator import LoadGenerator
from stress.model import ReadinessReport
from stress.processes import find_free_port
from stress.profiles import CONTROL, FULL, SHORT, Profile
from stress.progress_view import ProgressView
from stress.run import ReadinessRun, RunOptions
from stress.scenario_context import LocalScenarioContext
from stress.scenarios import capacity, claims, histories, pool
from tests.stress.calls import make_call, make_sample, set_times

END = "The scenario came to its end"
ANY_CHECK = CheckRegistry({COMMON: (CheckEntry("It can fail.", pattern=".+"),)})
Work = Callable[[LocalScenarioContext], Awaitable[None]]


async def record_success(context: LocalScenarioContext) -> None:
    """All holds."""
    context.check_equal("One is one", 1, 1)
    context.reconciliation.compare("rows", "one", 1, 1)


async def run_bad(context: LocalScenarioContext) -> None:
    """A check does not hold."""
    context.check_equal("One is two", 2, 1)


async def run_broken(context: LocalScenarioContext) -> None:
    """It breaks off after its first check."""
    context.check_equal("One is one", 1, 1)
    raise RuntimeError("the floor is lava " * 100)


async def run_idle(_stage: LocalScenarioContext) -> None:
    """It asserts nothing."""


def run_scenarios(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    scenarios: dict[str, tuple[Work, ...]],
    registry: CheckRegistry = ANY_CHECK,
    **given: Any,
) -> ReadinessReport:
    """Run these scenarios (`run`, and maybe `finish`) before a system that is not there; return the report."""
    modules = {
        key: SimpleNamespace(
            TITLE=key.title(), PROMISE="It holds.", **dict(zip(("run", "finish"), works, strict=False))
        )
        for key, works in scenarios.items()
    }
    monkeypatch.setattr(runs, "SCENARIOS", modules)
    monkeypatch.setattr(runs, "load_registry", lambda: registry)
    options = RunOptions(root=folder, state=folder, out=folder, profile=CONTROL, **given)

    async def go() -> ReadinessReport:
        with ProgressView(profile="control", expected_s=1, console=Console(file=StringIO())) as progress:
            run = ReadinessRun(options, progress)
            generator = LoadGenerator(f"http://127.0.0.1:{find_free_port()}", run.ledger, run.clock, run._note_sample)
            monitor = HealthMonitor(generator.copy_for_scenario("health"), run.call_factory)
            try:
                await run._run_scenarios(generator, cast("Any", None), monitor)
            finally:
                await monitor.stop()
                await generator.close()
            return run._build_report(monitor)

    return asyncio.run(go())


def test_a_scenario_that_breaks_off_fails_by_name_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The report has its earlier findings beside the reason."""
    report = run_scenarios(
        monkeypatch, tmp_path, {"pool": (record_success,), "agents": (run_broken,), "members": (record_success,)}
    )
    assert [(r.key, r.title, r.status) for r in report.results] == [
        ("pool", "Pool", "PASS"), ("agents", "Agents", "FAIL"), ("members", "Members", "PASS")]  # fmt: skip
    first, last = report.results[1].checks
    assert (first.passed, last.name, last.passed, last.wanted) == (True, END, False, "its end")
    assert last.found.startswith("RuntimeError: the floor is lava")
    assert len(last.found) <= 500
    assert (report.verdict, report.passed, report.total) == ("FAIL", 2, 3)


def test_a_run_is_as_good_as_its_scenarios(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All pass; one asserts nothing; one fails."""
    assert (
        run_scenarios(monkeypatch, tmp_path, {"pool": (record_success,), "agents": (record_success,)}).verdict == "PASS"
    )
    assert run_scenarios(monkeypatch, tmp_path, {"pool": (record_success,), "agents": (run_idle,)}).verdict == "INVALID"
    assert run_scenarios(monkeypatch, tmp_path, {"pool": (run_bad,), "agents": (run_idle,)}).verdict == "FAIL"


def test_a_check_that_nobody_says_can_fail_makes_its_scenario_invalid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The scenario and the check are named; the others stay as they are."""
    registry = CheckRegistry(
        {"pool": (CheckEntry("It can fail.", name="One is one"),), COMMON: ANY_CHECK.entries[COMMON]}
    )
    known = run_scenarios(monkeypatch, tmp_path, {"pool": (record_success,)}, registry)
    assert (known.verdict, known.results[0].checks[0].fails_if) == ("PASS", "It can fail.")
    unknown = run_scenarios(monkeypatch, tmp_path, {"pool": (record_success,)}, CheckRegistry())
    assert unknown.verdict == "INVALID"
    assert [check.found for check in unknown.results[0].checks if check.undecided] == ["pool: One is one"]


def test_what_a_scenario_can_only_judge_at_the_end_is_part_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`finish` runs after all of them, also where `run` broke off; and may break off itself."""
    order: list[str] = []

    async def note_scenario(context: LocalScenarioContext) -> None:
        order.append(context.key)
        await record_success(context)

    async def note_end(context: LocalScenarioContext) -> None:
        order.append(f"{context.key} finished")
        context.check_equal("Two are two", 2, 2)

    works: dict[str, tuple[Work, ...]] = {
        "pool": (note_scenario, note_end),
        "agents": (note_scenario, run_broken),
        "members": (run_broken, note_end),
    }
    report = run_scenarios(monkeypatch, tmp_path, works)
    assert order == ["pool", "agents", "pool finished", "members finished"]
    assert [(r.status, len(r.checks)) for r in report.results] == [("PASS", 2), ("FAIL", 3), ("FAIL", 3)]


def test_only_what_was_asked_for_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The report counts what was run."""
    report = run_scenarios(monkeypatch, tmp_path, {"pool": (record_success,), "agents": (run_bad,)}, only=("pool",))
    assert ([r.key for r in report.results], report.total, report.verdict) == (["pool"], 1, "PASS")


def test_each_scenario_has_samples_and_stall_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Calls to nobody are counted where they were made, and a stalled generator makes each of them invalid."""
    monkeypatch.setattr(runs, "STALL_S", 0.1)

    async def send_call(context: LocalScenarioContext) -> None:
        context.reconciliation.compare("rows", "one", 1, 1)
        context.check_equal(
            "Nobody is there", [0, 0], [s.status for s in await context.send_burst([_to_nobody(), _to_nobody()])]
        )

    works: dict[str, tuple[Work, ...]] = {"pool": (send_call,), "agents": (send_call,)}
    assert [(r.status, r.samples) for r in run_scenarios(monkeypatch, tmp_path, works).results] == [("PASS", 2)] * 2
    stalled = run_scenarios(monkeypatch, tmp_path, works, stall=True)
    assert [(r.status, r.samples) for r in stalled.results] == [("INVALID", 2)] * 2


def test_a_ledger_that_loses_a_sample_makes_its_scenario_invalid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The generator counts its calls itself; those of other scenarios don't count."""

    async def send_calls(context: LocalScenarioContext) -> None:
        await record_success(context)
        for _ in range(4):
            await context.generator.send(_to_nobody())

    works: dict[str, tuple[Work, ...]] = {"pool": (send_calls,), "agents": (send_calls,)}
    found = run_scenarios(monkeypatch, tmp_path, works).results
    assert [(r.status, r.samples, r.samples_wanted) for r in found] == [("PASS", 4, 4)] * 2
    note = CallLedger.note

    def lose_one(ledger: CallLedger, sample: CallSample) -> None:
        kept = [each for each in ledger.samples if each.scenario == "agents"]
        if sample.scenario != "agents" or len(kept) < 3:
            note(ledger, sample)

    monkeypatch.setattr(CallLedger, "note", lose_one)
    found = run_scenarios(monkeypatch, tmp_path, works).results
    assert [(r.status, r.samples, r.samples_wanted) for r in found] == [("PASS", 4, 4), ("INVALID", 3, 4)]


def _to_nobody() -> Any:
    return make_call(wanted=(0,))


def test_the_timeline_counts_answers_by_the_second(tmp_path: Path) -> None:
    """Wrong ones apart, and refusals that were meant apart from both; circuits and health as they were said."""
    run = ReadinessRun(RunOptions(root=tmp_path, state=tmp_path, out=tmp_path, profile=CONTROL), cast("Any", None))
    run.clock = cast("Any", SimpleNamespace(read_now=lambda: 2.5))

    def end_sample(sample: CallSample, done: float) -> CallSample:
        return set_times(sample, sent_s=0, done_s=done)

    meant = make_sample(make_call(wanted=(429,)), 429)
    for sample in (
        end_sample(make_sample(make_call()), 0.1),
        end_sample(make_sample(make_call(), 500), 1.1),
        end_sample(meant, 1.9),
    ):
        run.ledger.note(sample)
    report = {"status": "healthy", "checks": {"email": {"circuit": "open"}, "identity": {}, "storage": {}}}
    said = [HealthSample(1, 1.2, "no answer", {}), HealthSample(0, 0.2, "healthy", report)]
    found = run._build_timeline(cast("Any", SimpleNamespace(samples=said)))
    assert found.throughput == [(0, 1), (1, 2), (2, 0)]
    assert (found.errors, found.refused) == ([(0, 0), (1, 1), (2, 0)], [(0, 0), (1, 1), (2, 0)])
    assert [(i.state, i.began_s, i.ended_s) for i in found.health] == [("healthy", 0.2, 1.2), ("no answer", 1.2, 2.5)]
    assert [(i.state, i.began_s, i.ended_s) for i in found.circuits["email"]] == [("open", 0.2, 2.5)]


def test_a_run_that_cannot_start_stops_what_it_has_started(tmp_path: Path) -> None:
    """It says so: no report is better than one of nothing."""
    done: list[str] = []

    async def start() -> None:
        done.append("start")
        raise RuntimeError("no cloud")

    async def stop() -> None:
        done.append("stop")

    run = ReadinessRun(
        RunOptions(root=tmp_path, state=tmp_path, out=tmp_path, profile=CONTROL),
        cast("Any", SimpleNamespace(note_step=print)),
    )
    run.cloud = cast("Any", SimpleNamespace(start=start, stop=stop))
    with pytest.raises(RuntimeError, match="no cloud"):
        asyncio.run(run.run_all())
    assert done == ["start", "stop"]


@pytest.mark.parametrize("profile", [FULL, SHORT, CONTROL], ids=lambda profile: profile.name)
def test_as_many_members_sign_in_as_the_scenarios_take(profile: Profile) -> None:
    """The members of the pool, the claims, the priorities, the users and the mixes: of those that are to run."""
    taken: list[int] = []

    def take(count: int) -> list[object]:
        taken.append(count)
        return [object()] * count

    context = cast(
        "LocalScenarioContext", SimpleNamespace(fixtures=SimpleNamespace(take_members=take), profile=profile)
    )
    pool.ConcurrentWrites(context, pool.CALLERS)
    pool.ConcurrentWrites(context, profile.burst_size, pool.count_curve_bursts(profile))
    assert runs.count_members_needed(["pool"], profile) == sum(taken)
    others = claims.BURST + 1 + 1 + profile.user_count + capacity.count_claimants(profile) + histories.MEMBERS
    assert runs.count_members_needed(runs.SCENARIOS, profile) == sum(taken) + others
    assert runs.count_members_needed(["breaker", "agents"], profile) == 0
