"""The comparison shows every figure with its interval, and checks only what this system promises."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stress.call_factory import CallFactory
from stress.ledger import CallLedger, CallSample
from stress.load_generator import RunClock
from stress.model import Figure
from stress.profiles import CONTROL, FULL, SHORT, Profile
from stress.published_claims import ClaimJudge, Repository, read_published_claims
from stress.scenario_context import LocalScenarioContext
from stress.scenarios import capacity, capacity_curves, comparison
from stress.scenarios.compared_systems import ComparedSystem
from stress.scenarios.mixed_load import MIXED_CALLS, MixedLoadResult
from tests.services import ROOT
from tests.stress import sample
from tests.stress.calls import make_call, make_sample, set_times

HEALTHY = [201] * MIXED_CALLS


class ScriptedSystems:
    """Two systems whose answers are scripted: the statuses of a mix by trouble, and a capacity for the searches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledger = CallLedger()
        self.statuses: dict[tuple[str, str], list[int]] = {}
        self.refused_mails = self.in_progress = 3
        self.records: dict[str, int] = {}
        self.repeated: list[str] = []
        self.delays: list[object] = []
        self.capacity = {"before": 100.0, "after": 20.0}
        monkeypatch.setattr(capacity_curves, "REST_S", 0.0)
        trouble = {what: self._make_mix_runner(what) for what in comparison.TROUBLE}
        monkeypatch.setattr(comparison, "TROUBLE", trouble)
        generator = SimpleNamespace(clock=RunClock(), scenario="capacity")
        unused = cast("Any", SimpleNamespace(note_step=lambda *_: None))
        self.context = LocalScenarioContext(
            key="capacity",
            title="",
            promise="",
            profile=SHORT,
            generator=cast("Any", generator),
            call_factory=CallFactory(1),
            ledger=self.ledger,
            progress=unused,
            target=cast("Any", SimpleNamespace(query_rows=self._query_rows, control_mail=self._control_mail)),
            fixtures=unused,
            monitor=unused,
            faults=unused,
            root=Path(),
            state=Path(),
        )

    def make_system(self, name: str) -> Any:
        """Return a system of that name."""

        def answer(count: int, load: float) -> list[CallSample]:
            took_s = 0.5 * load / self.capacity[name]
            return [set_times(make_sample(make_call()), sent_s=0.0, done_s=took_s) for _ in range(count)]

        async def send_burst(calls: Sequence[Any]) -> list[CallSample]:
            return answer(len(calls), len(calls) / 4)  # the bar of a burst is four times that of a rate

        async def send_at_random(calls: Sequence[Any], rate: float, seed: int) -> list[CallSample]:
            assert seed >= capacity_curves.WARM_UP
            return answer(len(calls), rate)

        async def insist(call: Any) -> CallSample:
            self.repeated.append(name)
            return self._note(201, call.body["email"])

        generator = SimpleNamespace(send_burst=send_burst, send_at_random=send_at_random, insist=insist)
        make_calls = lambda count: [make_call()] * count  # noqa: E731
        return SimpleNamespace(name=name, generator=generator, make_burst=make_calls, make_stream=make_calls)

    def _make_mix_runner(self, what: str) -> Any:
        async def run_mix(_context: LocalScenarioContext, system: ComparedSystem) -> MixedLoadResult:
            statuses = self.statuses.get((what, system.name), HEALTHY) * self.context.profile.mix_rounds
            samples = [self._note(status, f"{n}@example.test") for n, status in enumerate(statuses)]
            return MixedLoadResult(samples, self.refused_mails, self.in_progress)

        return run_mix

    def _note(self, status: int, email: str) -> CallSample:
        sample = make_sample(make_call(body={"email": email}), status)
        self.ledger.note(sample)
        if status == 201:
            self.records.setdefault(email, 1)
        return sample

    async def _query_rows(self, query: str, _params: object = None) -> list[dict[str, Any]]:
        return [{"name": name, "n": n} for name, n in self.records.items()] if "FROM accounts" in query else []

    async def _control_mail(self, **changes: object) -> None:
        self.delays.append(changes["delay_s"])

    def bear_trouble(self, *names: str) -> dict[str, bool]:
        """Run the mixes on these systems; return whether each check passed."""
        systems = [self.make_system(name) for name in names]
        asyncio.run(comparison.bear_trouble(self.context, systems))
        return {check.name.removeprefix("(c) "): check.passed for check in self.context.checks}

    def find_figure(self, name: str) -> Figure:
        """Return the figure of that name."""
        (found,) = (figure for figure in self.context.figures if figure.name == name)
        return found


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedSystems:
    return ScriptedSystems(monkeypatch)


def test_every_check_holds_of_a_system_that_keeps_its_promises(scripted: ScriptedSystems) -> None:
    """Whatever the predecessor does: there are as many checks without it."""
    scripted.statuses = {(what, "before"): [503] * MIXED_CALLS for what in comparison.TROUBLE}
    checks = scripted.bear_trouble("before", "after")
    assert checks == dict.fromkeys(checks, True)
    scripted.context.checks.clear()
    assert scripted.bear_trouble("after") == checks


@pytest.mark.parametrize(("what", "status", "check"), [
    (comparison.SLOW, 503, "20 + 20 + 15 at once, each mail takes 200 ms: all accepted at the first try"),
    (comparison.DEAD, 503, "20 + 20 + 15 at once, mail is down: all accepted at the first try"),
    (comparison.RESTART, 409, "The database restarts: all accepted in the end"),
])  # fmt: skip
def test_one_call_that_is_not_accepted_fails_the_check_of_its_trouble(
    scripted: ScriptedSystems, what: str, status: int, check: str
) -> None:
    scripted.statuses = {(what, "after"): [status, *HEALTHY[1:]]}
    assert [name for name, passed in scripted.bear_trouble("after").items() if not passed] == [check]


def test_a_call_that_met_the_restart_is_repeated_until_it_is_decided(scripted: ScriptedSystems) -> None:
    """The share at the first try is a figure, shown as it was; the promise is that none is lost."""
    scripted.statuses = {(comparison.RESTART, "after"): [503, 503, *HEALTHY[2:]]}
    assert all(scripted.bear_trouble("after").values())
    assert scripted.repeated == ["after", "after"]
    shown = scripted.find_figure("(c) 20 + 20 + 15 at once, the database restarts: answered well, after")
    assert (round(shown.value, 1), shown.note) == (96.4, "53 of 55")


@pytest.mark.parametrize(("changes", "check"), [
    ({"refused_mails": 0}, "Mails that the dead mail service refused"),
    ({"in_progress": 0}, "Calls without an answer when the database restarted"),
    ({"records": {"7@example.test": 2}}, "The database restarts: records beyond one for each call"),
    ({"records": {"7@example.test": 0}}, "The database restarts: accepted calls that were lost"),
])  # fmt: skip
def test_a_trouble_that_met_nobody_and_a_record_too_many_or_too_few_are_found(
    scripted: ScriptedSystems, changes: dict[str, Any], check: str
) -> None:
    for name, value in changes.items():
        setattr(scripted, name, value)
    assert not scripted.bear_trouble("after")[check]


@pytest.mark.parametrize(("profile", "low", "answer"), [(FULL, "97.3", "shown"), (SHORT, "94.7", "not shown")])
def test_so_many_calls_as_a_full_run_makes_in_each_trouble_show_the_claim_of_95_percent(
    scripted: ScriptedSystems, profile: Profile, low: str, answer: str
) -> None:
    """All of 55 may come from a system that serves 94.7 % well; all of 110 from none below 97.3 %."""
    scripted.context.profile = profile
    scripted.bear_trouble("before", "after")
    result = replace(scripted.context.build_result(), status="PASS")
    report = replace(sample.make_passing_report(), results=[result])
    (claim,) = (claim for claim in read_published_claims() if claim.id == "7.6")
    found, evidence = ClaimJudge(report, Repository(ROOT)).judge_claim(claim)
    assert found == answer
    shown = [each.text for each in evidence if "after" in each.text]
    assert [f"**100 %** ({low} to 100)" in text for text in shown] == [True, True, True]


def test_nobody_files_as_many_claims_in_the_mixes_as_the_limit_allows() -> None:
    """A repeat after a restart would be refused; and the claims of one mix are by as many members."""
    for profile in (FULL, SHORT, CONTROL):
        count = capacity.count_claimants(profile)
        claims = capacity.CLAIMS_OF_A_MIX * profile.mix_rounds * len(comparison.TROUBLE)
        assert count >= capacity.CLAIMS_OF_A_MIX
        assert claims <= count * (capacity.CLAIMS.burst - 1)
        assert capacity.count_members_needed(profile) == profile.user_count + count


def test_all_against_none_has_a_ratio_with_a_lower_end_only(scripted: ScriptedSystems) -> None:
    """With mail down the predecessor has served nobody: no number says how many times better all is than none."""
    scripted.statuses = {(comparison.DEAD, "before"): [503] * MIXED_CALLS}
    scripted.bear_trouble("before", "after")
    ratio = scripted.find_figure("(c) mail is down: after ÷ before").estimate
    assert ratio is not None
    assert ratio.value == ratio.high == float("inf")
    assert 5 < ratio.low < 20
    same = scripted.find_figure("(c) each mail takes 200 ms: after ÷ before").estimate
    assert same is not None
    assert same.low < same.value == 1.0 < same.high


def test_loads_are_shown_with_intervals_though_the_predecessor_is_ahead(scripted: ScriptedSystems) -> None:
    """A fifth is shown as a fifth; no check says who has to be ahead."""
    systems = [scripted.make_system(name) for name in ("before", "after")]
    asyncio.run(comparison.compare_loads(scripted.context, systems))
    for key in ("(a)", "(b)", "(d)"):
        found = scripted.find_figure(f"{key} after ÷ before")
        assert found.estimate is not None
        assert found.estimate.low <= found.value <= found.estimate.high
        assert 0.15 < found.value < 0.27
    (own_faults,) = scripted.context.checks
    assert (own_faults.name, own_faults.passed) == (
        "Answers of the predecessor that tell of a fault of its own, in no trouble",
        True,
    )
    assert scripted.delays == [0.2, 0.0]
